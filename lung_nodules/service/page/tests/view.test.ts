import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PlaneShape } from "../source/image/planes";
import { centreOn, lengthMm, onScreen, panBy, placeImage, underPoint, WHOLE, zoomAt } from "../source/image/view";

const shape: PlaneShape = { width: 512, height: 120, spacingX: 0.7, spacingY: 1.25, count: 512 };
const box = { width: 800, height: 600 };
const near = (a: { x: number; y: number }, b: { x: number; y: number }): void => {
  expect(a.x).toBeCloseTo(b.x, 6);
  expect(a.y).toBeCloseTo(b.y, 6);
};

describe("zoom and pan", () => {
  it("fits the whole image, in millimetres", () => {
    const placement = placeImage(WHOLE, box, shape);
    expect(placement.left).toBeCloseTo(0);
    expect(512 * placement.scaleX).toBeCloseTo(800);
    expect(placement.scaleY / placement.scaleX).toBeCloseTo(1.25 / 0.7);
  });

  it("keeps what is under the pointer there while it zooms", () => {
    const point = fc.record({
      x: fc.double({ min: 0, max: 800, noNaN: true }),
      y: fc.double({ min: 0, max: 600, noNaN: true }),
    });
    fc.assert(
      fc.property(point, fc.double({ min: 0.6, max: 6, noNaN: true }), ({ x, y }, factor) => {
        const before = underPoint(x, y, placeImage(WHOLE, box, shape));
        const after = underPoint(x, y, placeImage(zoomAt(WHOLE, factor, x, y, box, shape), box, shape));
        near(after, before);
      }),
    );
  });

  it("maps points to pixels and back", () => {
    const placement = placeImage({ zoom: 3, panX: 0.1, panY: -0.2 }, box, shape);
    near(onScreen(...xy(underPoint(123, 456, placement)), placement), { x: 123, y: 456 });
  });

  it("moves by screen pixels, and not out of sight", () => {
    const before = placeImage(WHOLE, box, shape);
    const after = placeImage(panBy(WHOLE, 30, -12, box, shape), box, shape);
    expect(after.left - before.left).toBeCloseTo(30);
    expect(after.top - before.top).toBeCloseTo(-12);
    const far = placeImage(panBy(WHOLE, 99_999, 0, box, shape), box, shape);
    expect(far.left).toBeCloseTo(400);
  });

  it("has the asked pixel in the middle", () => {
    const placement = placeImage(centreOn({ x: 100, y: 20 }, 4, shape), box, shape);
    near(onScreen(100, 20, placement), { x: 400, y: 300 });
  });

  it("measures millimetres, not pixels", () => {
    expect(lengthMm({ x: 0, y: 0 }, { x: 0, y: 4 }, shape)).toBe(5);
    expect(lengthMm({ x: 0, y: 0 }, { x: 10, y: 0 }, shape)).toBeCloseTo(7);
  });
});

const xy = (point: { x: number; y: number }): [number, number] => [point.x, point.y];
