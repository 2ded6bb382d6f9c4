/** Window and level: from HU to grey, by DICOM's linear function (PS3.3 C.11.2.1.2.1). */

export interface Window {
  readonly center: number; // HU
  readonly width: number; // HU, 1 at least
}

export type PresetName = "lung" | "mediastinum" | "bone";

export const PRESETS: Readonly<Record<PresetName, Window>> = {
  lung: { center: -600, width: 1500 },
  mediastinum: { center: 40, width: 400 },
  bone: { center: 400, width: 1800 },
};

export const PRESET_NAMES: readonly PresetName[] = ["lung", "mediastinum", "bone"];

const WIDEST = 8000;
const FARTHEST = 4000;

/** Which preset a window is, if any. */
export function presetOf(window: Window): PresetName | null {
  return (
    PRESET_NAMES.find((name) => PRESETS[name].center === window.center && PRESETS[name].width === window.width) ?? null
  );
}

/** Grey of one value, 0 to 255. */
export function greyOf(hu: number, { center, width }: Window): number {
  if (width <= 1) return hu <= center - 0.5 ? 0 : 255;
  const share = (hu - (center - 0.5)) / (width - 1) + 0.5;
  return Math.round(255 * Math.min(1, Math.max(0, share)));
}

/** Opaque grey pixels (as ImageData holds them in a 32-bit word) for each int16 value, at its index `hu & 0xffff`. */
export function toneTable(window: Window): Uint32Array {
  const table = new Uint32Array(0x10000);
  for (let hu = -0x8000; hu < 0x8000; hu += 1) {
    table[hu & 0xffff] = (0xff000000 | (greyOf(hu, window) * 0x010101)) >>> 0;
  }
  return table;
}

/** Paint HU into the 32-bit words of an image of the same size. */
export function paint(hu: Int16Array, table: Uint32Array, words: Uint32Array): void {
  for (let index = 0; index < hu.length; index += 1) {
    words[index] = table[(hu[index] ?? 0) & 0xffff] ?? 0;
  }
}

/**
 * The window after a drag: to the right widens it, downwards raises the level (a darker image), as in most viewers.
 * A step is a share of the width, so that narrow windows are set finely.
 */
export function dragWindow(window: Window, dx: number, dy: number): Window {
  const step = Math.max(0.5, window.width / 400);
  return clampWindow({ center: window.center + dy * step, width: window.width + dx * step });
}

/** Whole HU within what makes sense. */
export function clampWindow({ center, width }: Window): Window {
  return {
    center: Math.round(Math.min(FARTHEST, Math.max(-FARTHEST / 2, center))),
    width: Math.round(Math.min(WIDEST, Math.max(1, width))),
  };
}
