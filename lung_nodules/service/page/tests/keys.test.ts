import { describe, expect, it } from "vitest";
import { BINDINGS, commandOf, isTakenBy, type Context } from "../source/state/keys";

const press = (key: string, more: object = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...more });

describe("keyboard", () => {
  it("gives the command of a key in its context", () => {
    expect(commandOf(press("j"), "worklist")).toBe("row-next");
    expect(commandOf(press("J"), "study")).toBe("finding-next");
    expect(commandOf(press("1"), "study")).toBe("window-lung");
    expect(commandOf(press("1"), "worklist")).toBeNull();
  });

  it("leaves the browser's own keys alone", () => {
    expect(commandOf(press("r", { ctrlKey: true }), "study")).toBeNull();
    expect(commandOf(press("ArrowUp", { metaKey: true }), "study")).toBeNull();
    expect(commandOf(press("c", { altKey: true }), "study")).toBeNull();
  });

  it.each<Context>(["worklist", "archive", "study"])("has each key once in the context %s", (context) => {
    const keys = BINDINGS.filter(({ contexts }) => contexts.includes(context)).flatMap((binding) => binding.keys);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("leaves keys to what has the focus and needs them", () => {
    expect(isTakenBy({ tagName: "INPUT", type: "search" }, "j")).toBe(true);
    expect(isTakenBy({ tagName: "INPUT", type: "radio" }, "ArrowRight")).toBe(true);
    expect(isTakenBy({ tagName: "INPUT", type: "radio" }, "ArrowDown")).toBe(false);
    expect(isTakenBy({ tagName: "INPUT", type: "radio" }, "j")).toBe(false);
    expect(isTakenBy({ tagName: "TEXTAREA" }, "a")).toBe(true);
    expect(isTakenBy({ tagName: "DIV", role: "slider" }, "ArrowUp")).toBe(true);
    expect(isTakenBy({ tagName: "DIV", role: "slider" }, "j")).toBe(false);
    expect(isTakenBy({ tagName: "BUTTON" }, "Enter")).toBe(true);
    expect(isTakenBy({ tagName: "BUTTON" }, "ArrowDown")).toBe(false);
    expect(isTakenBy({ tagName: "BODY" }, "ArrowDown")).toBe(false);
  });
});
