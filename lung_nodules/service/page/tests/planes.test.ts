import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  clampPlace,
  cutHu,
  cutLabels,
  lettersOf,
  MISSING_HU,
  planeIndex,
  PLANES,
  planeShape,
  toPixel,
  toPlace,
  type Grid,
} from "../source/image/planes";

// Two slices of three rows and four columns; a voxel's value is 100 slice + 10 row + column.
const grid: Grid = {
  numSlices: 2,
  numRows: 3,
  numColumns: 4,
  spacingMm: [2.5, 0.7, 0.6],
  direction: [
    [0, 0, 1],
    [0, 1, 0],
    [1, 0, 0],
  ],
};
const feetLast: Grid = {
  ...grid,
  direction: [
    [0, 0, -1],
    [0, 1, 0],
    [-1, 0, 0],
  ],
};
const volume = [0, 1].map((slice) =>
  new Int16Array(12).map((_, index) => 100 * slice + 10 * Math.floor(index / 4) + (index % 4)),
);
const read = (slice: number): Int16Array | undefined => volume[slice];

describe("planes", () => {
  it("gives an axial slice as it is", () => {
    expect(cutHu(read, grid, "axial", 1)).toBe(volume[1]);
  });

  it("cuts a coronal plane with the head up", () => {
    expect([...cutHu(read, grid, "coronal", 2)]).toEqual([120, 121, 122, 123, 20, 21, 22, 23]);
  });

  it("cuts a sagittal plane with the head up and the front to the left", () => {
    expect([...cutHu(read, grid, "sagittal", 3)]).toEqual([103, 113, 123, 3, 13, 23]);
  });

  it("does not turn slices that are ordered towards the feet", () => {
    expect([...cutHu(read, feetLast, "sagittal", 0)]).toEqual([0, 10, 20, 100, 110, 120]);
  });

  it("leaves slices that have not arrived black", () => {
    const half = (slice: number): Int16Array | undefined => (slice === 0 ? volume[0] : undefined);
    expect([...cutHu(half, grid, "coronal", 0)]).toEqual([...Array<number>(4).fill(MISSING_HU), 0, 1, 2, 3]);
    expect([...cutLabels(() => undefined, grid, "coronal", 0)]).toEqual(Array<number>(8).fill(0));
  });

  it("knows size and spacing of its images", () => {
    expect(planeShape(grid, "sagittal")).toEqual({ width: 3, height: 2, spacingX: 0.7, spacingY: 2.5, count: 4 });
  });

  it("shows the patient's left to the right, as a reader expects", () => {
    expect(lettersOf(grid, "axial")).toEqual({ left: "R", right: "L", top: "A", bottom: "P" });
    expect(lettersOf(grid, "coronal")).toEqual({ left: "R", right: "L", top: "H", bottom: "F" });
    expect(lettersOf(grid, "sagittal")).toEqual({ left: "A", right: "P", top: "H", bottom: "F" });
  });

  it("keeps the head up where slices run to the feet", () => {
    expect(lettersOf(feetLast, "coronal")).toEqual({ left: "L", right: "R", top: "H", bottom: "F" });
  });

  it("finds the place under a pixel again", () => {
    const place = fc.record({
      slice: fc.integer({ min: 0, max: 1 }),
      row: fc.integer({ min: 0, max: 2 }),
      column: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(place, fc.constantFrom(...PLANES), fc.constantFrom(grid, feetLast), (there, plane, where) => {
        const { x, y } = toPixel(there, plane, where);
        expect(toPlace(x, y, plane, there, where)).toEqual(there);
        const shape = planeShape(where, plane);
        const value = 100 * there.slice + 10 * there.row + there.column;
        expect(cutHu(read, where, plane, planeIndex(there, plane))[y * shape.width + x]).toBe(value);
      }),
    );
  });

  it("keeps a place within the volume", () => {
    expect(clampPlace({ slice: -3, row: 1.6, column: 99 }, grid)).toEqual({ slice: 0, row: 2, column: 3 });
  });
});
