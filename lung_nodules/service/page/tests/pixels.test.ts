import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHu, decodeLabels, swapPairs } from "../source/image/pixels";

describe("decoding", () => {
  it("reads int16 HU, low byte first", () => {
    const bytes = new Uint8Array([0x00, 0xfc, 0xff, 0xff, 0x28, 0x00]).buffer;
    expect([...decodeHu(bytes, 3)]).toEqual([-1024, -1, 40]);
  });

  it("reads uint16 labels beyond the range of int16", () => {
    const bytes = new Uint8Array([0x01, 0x00, 0xff, 0xff]).buffer;
    expect([...decodeLabels(bytes, 2)]).toEqual([1, 65535]);
  });

  it("refuses a slice of another size", () => {
    expect(() => decodeHu(new ArrayBuffer(6), 4)).toThrow(RangeError);
  });

  it("turns pairs of bytes round, and back", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -32768, max: 32767 }), { maxLength: 50 }), (values) => {
        const bytes = new Int16Array(values).buffer;
        const turned = new Uint8Array(swapPairs(bytes));
        const plain = new Uint8Array(bytes);
        expect([...turned]).toEqual([...plain].map((_, index) => plain[index ^ 1]));
        expect([...new Int16Array(swapPairs(swapPairs(bytes)))]).toEqual(values);
      }),
    );
  });
});
