import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clampWindow, dragWindow, greyOf, paint, PRESETS, presetOf, toneTable } from "../source/image/window";

const hu = fc.integer({ min: -32768, max: 32767 });
const window = fc.record({ center: fc.integer({ min: -1500, max: 3000 }), width: fc.integer({ min: 1, max: 4000 }) });

describe("window and level", () => {
  // By DICOM's linear function with width 400 and centre 40: black up to -160, white from 239 on.
  it.each([
    [-161, 0],
    [-160, 0],
    [39, 127],
    [239, 255],
    [240, 255],
  ])("shows %i HU as %i in the mediastinum window", (value, grey) => {
    expect(Math.abs(greyOf(value, PRESETS.mediastinum) - grey)).toBeLessThanOrEqual(1);
  });

  it("is a step at width 1", () => {
    expect([9, 10].map((value) => greyOf(value, { center: 10, width: 1 }))).toEqual([0, 255]);
  });

  it("never gets darker with more HU", () => {
    fc.assert(
      fc.property(hu, hu, window, (a, b, w) => {
        expect(greyOf(Math.min(a, b), w)).toBeLessThanOrEqual(greyOf(Math.max(a, b), w));
      }),
    );
  });

  it("has opaque grey for every int16 in its table", () => {
    const table = toneTable(PRESETS.lung);
    fc.assert(
      fc.property(hu, (value) => {
        const grey = greyOf(value, PRESETS.lung);
        expect(table[value & 0xffff]).toBe((0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0);
      }),
    );
  });

  it("paints each pixel by its HU", () => {
    const words = new Uint32Array(3);
    paint(new Int16Array([-3000, 40, 3000]), toneTable(PRESETS.mediastinum), words);
    expect([...words].map((word) => word & 0xff)).toEqual([0, 128, 255]);
  });

  it("names the preset that it is, and no other", () => {
    expect(presetOf({ center: -600, width: 1500 })).toBe("lung");
    expect(presetOf({ center: -600, width: 1501 })).toBeNull();
  });

  it("widens to the right and raises the level downwards", () => {
    const dragged = dragWindow(PRESETS.mediastinum, 10, 20);
    expect(dragged).toEqual({ center: 60, width: 410 });
  });

  it("stays within what makes sense however far one drags", () => {
    fc.assert(
      fc.property(window, fc.integer({ min: -5000, max: 5000 }), fc.integer({ min: -5000, max: 5000 }), (w, dx, dy) => {
        const { center, width } = dragWindow(w, dx, dy);
        expect(width).toBeGreaterThanOrEqual(1);
        expect(width).toBeLessThanOrEqual(8000);
        expect(Math.abs(center)).toBeLessThanOrEqual(4000);
      }),
    );
    expect(clampWindow({ center: 0.4, width: -5 })).toEqual({ center: 0, width: 1 });
  });
});
