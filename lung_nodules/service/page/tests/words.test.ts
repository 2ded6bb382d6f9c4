import { describe, expect, it } from "vitest";
import { BINDINGS } from "../source/state/keys";
import { chinese } from "../source/words/chinese";
import { ago, bytes, day, duration, fixed, unitText, wordFor } from "../source/words/dictionary";
import { english } from "../source/words/english";
import { valueText } from "../source/study/quality_list";
import { PRIORITIES, priorityName } from "../source/worklist/names";

/** Every leaf of a dictionary with its path; functions are called with plausible arguments. */
function leaves(part: unknown, path = ""): [string, string][] {
  if (typeof part === "string") return [[path, part]];
  if (typeof part === "function") return [[path, String((part as (...values: unknown[]) => unknown)(2, 3, "x"))]];
  if (typeof part !== "object" || part === null) return [];
  return Object.entries(part).flatMap(([key, value]) => leaves(value, `${path}.${key}`));
}

describe("dictionaries", () => {
  const own = [".quality.sentences"]; // English has the service's own sentences
  const paths = (words: unknown) =>
    leaves(words)
      .map(([path]) => path)
      .filter((path) => !own.some((prefix) => path.startsWith(prefix)))
      .sort();

  it("have the same words", () => {
    expect(paths(chinese)).toEqual(paths(english));
  });

  it("have no empty word", () => {
    expect([...leaves(english), ...leaves(chinese)].filter(([, text]) => text.trim() === "")).toEqual([]);
  });

  it("are Chinese where they are Chinese", () => {
    const latin = leaves(chinese).filter(([, text]) => !/[\u4e00-\u9fff]/.test(text));
    expect(latin.map(([path]) => path)).toEqual([".viewer.sliceOf", ".viewer.zoom", ".review.by"]);
  });

  it("never speak of a probability of cancer", () => {
    const text = [...leaves(english), ...leaves(chinese)].map(([, words]) => words).join("\n");
    expect(text).not.toMatch(/cancer|malignan|癌|恶性/i);
  });

  it("say that this is no medical device", () => {
    expect(english.disclaimer).toBe("Research use only. Not a medical device.");
    expect(chinese.disclaimer).toContain("并非医疗器械");
  });

  it("explain every command", () => {
    for (const { command } of BINDINGS) expect(english.help.commands[command]).toBeTruthy();
  });
});

describe("numbers and times", () => {
  const now = Date.parse("2026-01-01T12:00:00Z");

  it.each([
    ["2026-01-01T11:59:30Z", "now"],
    ["2026-01-01T11:57:40Z", "2 min ago"],
    ["2026-01-01T09:00:00Z", "3 hr ago"],
    ["2026-01-01T12:00:05Z", "now"], // a clock that goes before ours
  ])("say how long ago %s was", (iso, text) => {
    expect(ago(iso, now, "en")).toBe(text);
  });

  it("are written with a true minus sign and the decimals asked for", () => {
    expect(fixed(-600, 0, "en")).toBe("−600");
    expect(fixed(15.0174, 1, "en")).toBe("15.0");
    expect(fixed(7588, 0, "zh")).toBe("7,588");
  });

  it("count seconds, minutes and bytes", () => {
    expect(duration(24.4, "en")).toBe("24s");
    expect(duration(125, "en")).toBe("2m 5s");
    expect([0, 1000, 1536, 3_183_206].map((count) => bytes(count, "en"))).toEqual([
      "0 B",
      "1,000 B",
      "1.5 KiB",
      "3.0 MiB",
    ]);
  });

  it("do not move a study's date into another time zone", () => {
    expect(day("2020-01-01", "en")).toBe("1 Jan 2020");
  });

  it("show what a check has measured as one reads it", () => {
    expect(valueText(0.4802, "1", "en")).toBe("48 %");
    expect(valueText(1.25, "mm", "en")).toBe("1.25 mm");
    expect(valueText(168.5, "cm2", "en")).toBe("169 cm²");
    expect(valueText(120, "{slices}", "en")).toBe("120");
    expect(valueText("1.5 to 9", "L", "en")).toBe("1.5 to 9 L");
    expect(valueText("00", "", "en")).toBe("");
    expect(unitText("HU")).toBe("HU");
  });

  it("fall back on a code that no dictionary knows", () => {
    expect(wordFor({}, "some-new_code")).toBe("some new code");
  });
});

describe("priorities", () => {
  it("have the name at or below their number", () => {
    for (const [name, value] of Object.entries(PRIORITIES)) expect(priorityName(value)).toBe(name);
    expect([priorityName(5), priorityName(-99)]).toEqual(["routine", "background"]);
  });
});
