/** What the images are shown with. */

import type { Dispatch, ReactElement } from "react";
import { Choice } from "../parts/choice";
import { useWords } from "../parts/context";
import { Icon } from "../parts/icons";
import { PRESET_NAMES, presetOf, type PresetName } from "../image/window";
import { LAYOUTS, TOOLS, type Layout, type Tool, type Viewer, type ViewerAction } from "../state/viewer";

export interface ToolbarProps {
  readonly viewer: Viewer;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly reformats: boolean; // whether all slices fit into memory
}

export function Toolbar({ viewer, dispatch, reformats }: ToolbarProps): ReactElement {
  const { words } = useWords();
  const { viewer: names } = words;
  return (
    <div className="toolbar" role="toolbar" aria-label={names.label}>
      <Choice<Layout>
        label={names.planesLabel}
        value={viewer.layout}
        options={LAYOUTS.map((value) => ({
          value,
          text: names.planes[value],
          disabled: !reformats && value !== "axial",
          ...(reformats ? {} : { hint: names.tooLarge }),
        }))}
        onChange={(layout) => dispatch({ type: "layout", layout })}
      />
      <Choice<PresetName>
        label={names.windowsLabel}
        value={presetOf(viewer.window)}
        options={PRESET_NAMES.map((value, index) => ({ value, text: names.windows[value], hint: String(index + 1) }))}
        onChange={(preset) => dispatch({ type: "preset", preset })}
      />
      <Choice<Tool>
        label={names.toolsLabel}
        className="choice-icons"
        value={viewer.tool}
        options={TOOLS.map((value) => ({
          value,
          text: (
            <>
              <Icon name={value} />
              <span className="unseen">{names.tools[value]}</span>
            </>
          ),
          hint: names.tools[value],
        }))}
        onChange={(tool) => dispatch({ type: "tool", tool })}
      />
      <button
        type="button"
        className="button button-toggle"
        aria-pressed={viewer.outlines}
        title={`${names.outlines} (O)`}
        onClick={() => dispatch({ type: "outlines" })}
      >
        <Icon name="outlines" />
        <span className="toolbar-word">{names.outlines}</span>
      </button>
      <button
        type="button"
        className="button button-bare"
        aria-label={names.reset}
        title={`${names.reset} (0)`}
        onClick={() => dispatch({ type: "reset" })}
      >
        <Icon name="reset" />
      </button>
    </div>
  );
}
