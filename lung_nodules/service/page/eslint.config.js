import js from "@eslint/js";
import hooks from "eslint-plugin-react-hooks";
import globals from "globals";
import types from "typescript-eslint";

export default types.config({ ignores: ["dist", "node_modules"] }, js.configs.recommended, {
  files: ["**/*.{ts,tsx}"],
  extends: [types.configs.strictTypeChecked],
  languageOptions: { globals: globals.browser, parserOptions: { projectService: true } },
  plugins: { "react-hooks": hooks },
  rules: {
    ...hooks.configs.recommended.rules,
    "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    "no-console": "error",
  },
});
