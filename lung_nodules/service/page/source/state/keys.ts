/** Keyboard: one table of keys and commands, from which the help is drawn too. */

export type Command =
  | "help"
  | "search"
  | "submit"
  | "archive"
  | "row-next"
  | "row-previous"
  | "open"
  | "back"
  | "slice-next"
  | "slice-previous"
  | "slice-leap"
  | "slice-leap-back"
  | "slice-first"
  | "slice-last"
  | "finding-next"
  | "finding-previous"
  | "window-lung"
  | "window-mediastinum"
  | "window-bone"
  | "layout"
  | "outlines"
  | "ruler"
  | "zoom-in"
  | "zoom-out"
  | "reset"
  | "accept"
  | "reject"
  | "correct";

export type Context = "worklist" | "archive" | "study";

export interface Binding {
  readonly command: Command;
  readonly keys: readonly string[]; // KeyboardEvent.key
  readonly contexts: readonly Context[];
}

export const BINDINGS: readonly Binding[] = [
  { command: "search", keys: ["/"], contexts: ["worklist", "archive"] },
  { command: "submit", keys: ["n"], contexts: ["worklist"] },
  { command: "archive", keys: ["s"], contexts: ["worklist"] },
  { command: "row-next", keys: ["j", "ArrowDown"], contexts: ["worklist", "archive"] },
  { command: "row-previous", keys: ["k", "ArrowUp"], contexts: ["worklist", "archive"] },
  { command: "open", keys: ["Enter"], contexts: ["worklist"] },
  { command: "slice-next", keys: ["ArrowDown"], contexts: ["study"] },
  { command: "slice-previous", keys: ["ArrowUp"], contexts: ["study"] },
  { command: "slice-leap", keys: ["PageDown"], contexts: ["study"] },
  { command: "slice-leap-back", keys: ["PageUp"], contexts: ["study"] },
  { command: "slice-first", keys: ["Home"], contexts: ["study"] },
  { command: "slice-last", keys: ["End"], contexts: ["study"] },
  { command: "finding-next", keys: ["j", "]"], contexts: ["study"] },
  { command: "finding-previous", keys: ["k", "["], contexts: ["study"] },
  { command: "window-lung", keys: ["1"], contexts: ["study"] },
  { command: "window-mediastinum", keys: ["2"], contexts: ["study"] },
  { command: "window-bone", keys: ["3"], contexts: ["study"] },
  { command: "layout", keys: ["p"], contexts: ["study"] },
  { command: "outlines", keys: ["o"], contexts: ["study"] },
  { command: "ruler", keys: ["m"], contexts: ["study"] },
  { command: "zoom-in", keys: ["+", "="], contexts: ["study"] },
  { command: "zoom-out", keys: ["-"], contexts: ["study"] },
  { command: "reset", keys: ["0"], contexts: ["study"] },
  { command: "accept", keys: ["a"], contexts: ["study"] },
  { command: "reject", keys: ["r"], contexts: ["study"] },
  { command: "correct", keys: ["c"], contexts: ["study"] },
  { command: "back", keys: ["Escape"], contexts: ["archive", "study"] },
  { command: "help", keys: ["?"], contexts: ["worklist", "archive", "study"] },
];

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
}

/** The command that a key gives in a context; none with Ctrl, Alt or Meta, which belong to the browser. */
export function commandOf(press: KeyPress, context: Context): Command | null {
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  const key = press.key.length === 1 ? press.key.toLowerCase() : press.key;
  return BINDINGS.find(({ keys, contexts }) => contexts.includes(context) && keys.includes(key))?.command ?? null;
}

/** What of an element decides whether it wants a key for itself. */
export interface Target {
  readonly tagName: string;
  readonly type?: string;
  readonly role?: string | null;
  readonly isContentEditable?: boolean;
}

const MOVING = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown", "Home", "End"];

/**
 * Whether the element with the focus uses the key itself: text, choices, sliders, and Enter on what can be pressed.
 * Choices in a row are walked by left and right; up and down go on scrolling after one was clicked.
 */
export function isTakenBy(target: Target, key: string): boolean {
  const tag = target.tagName.toUpperCase();
  if (target.isContentEditable || tag === "TEXTAREA" || tag === "SELECT") return true;
  if (tag === "INPUT") return target.type !== "radio" || ["ArrowLeft", "ArrowRight", " "].includes(key);
  if (target.role === "slider" || target.role === "tab") return MOVING.includes(key);
  return (tag === "BUTTON" || tag === "A") && (key === "Enter" || key === " ");
}
