import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dragTool, wholeSteps } from "../source/study/gestures";

describe("gestures", () => {
  it("use the chosen tool with the main button, pan and zoom with the others", () => {
    expect([dragTool("window", 0, false), dragTool("window", 1, false), dragTool("window", 2, false)]).toEqual([
      "window",
      "pan",
      "zoom",
    ]);
    expect(dragTool("ruler", 0, true)).toBe("pan");
  });

  it("lose no part of a slow wheel", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -90, max: 90 }), { maxLength: 30 }), (deltas) => {
        let rest = 0;
        let total = 0;
        for (const delta of deltas) {
          const taken = wholeSteps(rest + delta, 40);
          rest = taken.rest;
          total += taken.steps;
        }
        expect(total * 40 + rest).toBe(deltas.reduce((sum, delta) => sum + delta, 0));
      }),
    );
  });
});
