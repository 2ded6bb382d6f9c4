/** Puts spans beside one another where they overlap. */

export interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * A lane for each span, from 0: the first one that is free there. Where more spans overlap than there are lanes, the lane
 * whose last span ends first is shared.
 */
export function arrangeLanes(spans: readonly Span[], numLanes: number): number[] {
  const ends = new Array<number>(numLanes).fill(-Infinity);
  const lanes = new Array<number>(spans.length).fill(0);
  const order = spans.map((_, index) => index).sort((a, b) => (spans[a]?.from ?? 0) - (spans[b]?.from ?? 0));
  for (const index of order) {
    const span = spans[index] ?? { from: 0, to: 0 };
    const free = ends.findIndex((end) => end <= span.from);
    const lane = free >= 0 ? free : ends.indexOf(Math.min(...ends));
    lanes[index] = lane;
    ends[lane] = Math.max(ends[lane] ?? -Infinity, span.to);
  }
  return lanes;
}
