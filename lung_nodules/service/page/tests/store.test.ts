import { describe, expect, it } from "vitest";
import { byDistance, SliceStore } from "../source/image/store";

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

describe("slices as they arrive", () => {
  it("wants the nearest first, the next before the one before", () => {
    expect(byDistance([0, 1, 2, 3, 4], 2)).toEqual([2, 3, 1, 4, 0]);
  });

  it("loads a few at a time, from where the reader is", async () => {
    const asked: number[] = [];
    const answers = new Map<number, (value: string) => void>();
    const store = new SliceStore<string>({
      indices: [0, 1, 2, 3],
      bytesPerSlice: 1,
      budgetBytes: 100,
      parallel: 2,
      load: (index) => {
        asked.push(index);
        return new Promise((resolve) => answers.set(index, resolve));
      },
    });
    store.focus(2);
    expect(asked).toEqual([2, 3]);
    const before = store.reader;
    answers.get(2)?.("two");
    await settled();
    expect(store.get(2)).toBe("two");
    expect(store.reader).not.toBe(before);
    expect(asked).toEqual([2, 3, 1]);
  });

  it("keeps to its budget and lets the farthest go", async () => {
    const store = new SliceStore<number>({
      indices: Array.from({ length: 100 }, (_, index) => index),
      bytesPerSlice: 10,
      budgetBytes: 200,
      load: (index) => Promise.resolve(index),
    });
    expect(store.holdsAll).toBe(false);
    store.focus(0);
    for (let turn = 0; turn < 40; turn += 1) await settled();
    expect(store.numHeld).toBe(20);
    store.focus(99);
    for (let turn = 0; turn < 40; turn += 1) await settled();
    expect(store.numHeld).toBe(20);
    expect(store.get(99)).toBe(99);
    expect(store.get(0)).toBeUndefined();
  });

  it("asks again for what failed, then says so", async () => {
    let count = 0;
    const store = new SliceStore<number>({
      indices: [7],
      bytesPerSlice: 1,
      budgetBytes: 100,
      load: () => {
        count += 1;
        return Promise.reject(new Error());
      },
    });
    store.focus(0);
    for (let turn = 0; turn < 10; turn += 1) await settled();
    expect(count).toBe(3);
    expect(store.numFailed).toBe(1);
  });

  it("stops when it is disposed of", async () => {
    let signal: AbortSignal | undefined;
    const store = new SliceStore<number>({
      indices: [0, 1],
      bytesPerSlice: 1,
      budgetBytes: 100,
      load: (_, given) => {
        signal = given;
        return new Promise(() => undefined);
      },
    });
    store.focus(0);
    store.dispose();
    await settled();
    expect(signal?.aborted).toBe(true);
  });
});
