/** Slices as a viewer counts them: from 1, in the order of the images' own numbers, which the report tells. */

import type { Finding } from "../api/schemas";
import { headIsLast, type Grid, type Plane } from "../image/planes";

export interface SliceNumbers {
  readonly numberOf: (index: number) => number;
}

/**
 * How indices become numbers. The report tells both for the slices of findings; as numbers run along the slices or
 * against them, one pair away from the middle tells the way. Without one they run along.
 */
export function sliceNumbers(numSlices: number, findings: readonly Finding[]): SliceNumbers {
  const pairs = findings.map((finding) => finding.position.slice);
  const against = pairs.some(
    (slice) => slice.viewer_number === numSlices - slice.index && slice.viewer_number !== slice.index + 1,
  );
  return { numberOf: (index) => (against ? numSlices - index : index + 1) };
}

/** Step of the index by which one reads on: from the head down, from the front to the back, from the right to the left. */
export function readingStep(grid: Grid, plane: Plane): 1 | -1 {
  return plane === "axial" && headIsLast(grid) ? -1 : 1;
}
