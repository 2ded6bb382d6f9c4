import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { areaOf, soften, traceLabels } from "../source/image/contours";

const image = (...lines: string[]): [Uint16Array, number, number] => [
  new Uint16Array(Array.from(lines.join(""), Number)),
  lines[0]?.length ?? 0,
  lines.length,
];

describe("tracing", () => {
  it("goes round one pixel along its edges", () => {
    const lines = traceLabels(...image("000", "010", "000"));
    expect(lines.get(1)).toEqual([[0.5, 0.5, 1.5, 0.5, 1.5, 1.5, 0.5, 1.5]]);
  });

  it("finds nothing in an empty image", () => {
    expect(traceLabels(...image("000", "000")).size).toBe(0);
  });

  it("follows labels that touch apart from one another", () => {
    const lines = traceLabels(...image("12", "12"));
    expect([...lines.keys()].sort()).toEqual([1, 2]);
    expect(lines.get(1)?.map(areaOf)).toEqual([2]);
    expect(lines.get(2)?.map(areaOf)).toEqual([2]);
  });

  it("follows a hole the other way round", () => {
    const areas = traceLabels(...image("111", "101", "111"))
      .get(1)
      ?.map(areaOf);
    expect(areas?.sort()).toEqual([-1, 9]);
  });

  it("keeps pixels that touch at a corner apart", () => {
    expect(
      traceLabels(...image("10", "01"))
        .get(1)
        ?.map(areaOf),
    ).toEqual([1, 1]);
  });

  it("reaches the rim of the image", () => {
    expect(
      traceLabels(...image("11", "11"))
        .get(1)
        ?.map(areaOf),
    ).toEqual([4]);
  });

  it("encloses each label's pixels exactly, whatever their shape", () => {
    const labels = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 48, maxLength: 48 });
    fc.assert(
      fc.property(labels, (values) => {
        const lines = traceLabels(new Uint16Array(values), 8, 6);
        for (const label of [1, 2, 3]) {
          const area = (lines.get(label) ?? []).reduce((sum, line) => sum + areaOf(line), 0);
          expect(area).toBe(values.filter((value) => value === label).length);
        }
      }),
    );
  });

  it("closes every line by unit steps", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 30, maxLength: 30 }), (values) => {
        for (const line of traceLabels(new Uint16Array(values), 6, 5).get(1) ?? []) {
          for (let index = 0; index < line.length; index += 2) {
            const next = (index + 2) % line.length;
            const step = Math.hypot(
              (line[next] ?? 0) - (line[index] ?? 0),
              (line[next + 1] ?? 0) - (line[index + 1] ?? 0),
            );
            expect(step).toBe(1);
          }
        }
      }),
    );
  });

  it("cuts corners without losing points", () => {
    expect(soften([0, 0, 1, 0, 1, 1, 0, 1])).toEqual([0.5, 0, 1, 0.5, 0.5, 1, 0, 0.5]);
  });
});
