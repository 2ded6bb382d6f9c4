/**
 * The scroll bar of the slices, which is a map of the study, too: how far the lungs reach, which slices have arrived, and
 * where each finding lies and how far it goes. The head is on top.
 */

import { useMemo, useRef, type KeyboardEvent, type PointerEvent, type ReactElement } from "react";
import type { Finding } from "../api/schemas";
import { useWords } from "../parts/context";
import { planeIndex, planeShape, type Plane } from "../image/planes";
import { arrangeLanes, type Span } from "../state/lanes";
import { readingStep, type SliceNumbers } from "../state/slice_numbers";
import { guessedExtent, placeOf, type Viewer } from "../state/viewer";

export interface SliceMapProps {
  readonly plane: Plane;
  readonly viewer: Viewer;
  readonly findings: readonly Finding[];
  readonly lungs: readonly (readonly number[])[]; // first and last voxel, as slice, row, column
  readonly extents: ReadonlyMap<number, readonly [number, number]>; // slices, by label
  readonly isHeld: readonly boolean[];
  readonly chosen: Finding | null;
  readonly numbers: SliceNumbers;
  readonly onIndex: (index: number) => void;
  readonly onChoose: (finding: Finding) => void;
}

const HEIGHT = 1000; // of the drawing; it is stretched to the place there is
const LEAST = 9; // a small finding's length on the map

export function SliceMap(props: SliceMapProps): ReactElement {
  const { plane, viewer, findings, numbers, onIndex, onChoose, chosen } = props;
  const { words } = useWords();
  const track = useRef<HTMLDivElement>(null);
  const { count } = planeShape(viewer.grid, plane);
  const upwards = readingStep(viewer.grid, plane) < 0;
  const at = planeIndex(viewer.place, plane);
  const spans = useSpans(props, upwards, count);
  const yOf = (index: number): number => (((upwards ? count - 1 - index : index) + 0.5) / count) * HEIGHT;

  const indexAt = (event: PointerEvent): number => {
    const box = track.current?.getBoundingClientRect();
    const share = box ? (event.clientY - box.top) / box.height : 0;
    const line = Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    return upwards ? count - 1 - line : line;
  };
  const press = (event: PointerEvent<HTMLDivElement>): void => {
    event.currentTarget.setPointerCapture(event.pointerId);
    event.currentTarget.focus({ preventScroll: true });
    const name = (event.target as Element).getAttribute("data-finding");
    const finding = findings.find((one) => one.finding_id === name);
    if (finding) onChoose(finding);
    else onIndex(indexAt(event));
  };
  const onKey = (event: KeyboardEvent): void => {
    const by = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -count, End: count }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    onIndex(at + by * (upwards ? -1 : 1));
  };
  const here = spans.filter((span) => span.first <= at && at <= span.last).map((span) => span.id);
  const number = plane === "axial" ? numbers.numberOf(at) : at + 1;
  return (
    <div
      ref={track}
      className="slice-map"
      role="slider"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label={words.viewer.slice}
      aria-valuemin={1}
      aria-valuemax={count}
      aria-valuenow={number}
      aria-valuetext={words.viewer.sliceAndFinding(number, count, here.join(", "))}
      onPointerDown={press}
      onPointerMove={(event) => {
        if (event.buttons === 1 && event.currentTarget.hasPointerCapture(event.pointerId)) onIndex(indexAt(event));
      }}
      onKeyDown={onKey}
    >
      <svg viewBox={`0 0 56 ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
        <Ground {...props} upwards={upwards} count={count} />
        {spans.map((span) => (
          <rect
            key={span.id}
            className="slice-map-finding"
            data-finding={span.id}
            data-level={span.level}
            data-chosen={span.id === chosen?.finding_id}
            x={22 + span.lane * 9}
            width="6"
            rx="3"
            ry={Math.min(3, span.length / 2)}
            y={span.top}
            height={span.length}
          />
        ))}
      </svg>
      <div className="slice-map-thumb" aria-hidden="true" style={{ top: `${yOf(at) / (HEIGHT / 100)}%` }} />
    </div>
  );
}

interface MapSpan extends Span {
  readonly id: string;
  readonly level: string;
  readonly first: number;
  readonly last: number;
  readonly top: number;
  readonly length: number;
  readonly lane: number;
}

function useSpans(
  { plane, viewer, findings, extents }: SliceMapProps,
  upwards: boolean,
  count: number,
): readonly MapSpan[] {
  const { grid } = viewer;
  return useMemo(() => {
    const scale = HEIGHT / count;
    const spans = findings.map((finding) => {
      const [first, last] = extents.get(finding.outline_label) ?? extentAcross(finding, plane, grid);
      const middle = (((upwards ? count - 1 - (first + last) / 2 : (first + last) / 2) + 0.5) / count) * HEIGHT;
      const length = Math.max(LEAST, (last - first + 1) * scale);
      const top = Math.min(HEIGHT - length, Math.max(0, middle - length / 2));
      return {
        id: finding.finding_id,
        level: finding.suspicion,
        first,
        last,
        top,
        length,
        from: top,
        to: top + length,
      };
    });
    const lanes = arrangeLanes(spans, 3);
    return spans.map((span, index) => ({ ...span, lane: lanes[index] ?? 0 }));
  }, [findings, extents, plane, grid, upwards, count]);
}

/** First and last image of a plane that a finding reaches, by its sphere. */
function extentAcross(finding: Finding, plane: Plane, grid: Viewer["grid"]): readonly [number, number] {
  if (plane === "axial") return guessedExtent(finding, grid);
  const spacing = plane === "coronal" ? grid.spacingMm[1] : grid.spacingMm[2];
  const half = finding.size.mean_diameter_mm / 2 / spacing;
  const centre = planeIndex(placeOf(finding, grid), plane);
  return [centre - half, centre + half];
}

/** The lungs' reach, and a line beside the slices that have arrived. */
function Ground({
  plane,
  lungs,
  isHeld,
  upwards,
  count,
}: SliceMapProps & { upwards: boolean; count: number }): ReactElement {
  const axis = { axial: 0, coronal: 1, sagittal: 2 }[plane];
  const first = lungs[0]?.[axis] ?? 0;
  const last = lungs[1]?.[axis] ?? count - 1;
  const reach = ((last - first + 1) / count) * HEIGHT;
  const top = Math.min(topOf(first, upwards, count), topOf(last, upwards, count));
  const arrived = useMemo(() => {
    if (plane !== "axial") return `M10 0v${HEIGHT}`;
    const step = `v${HEIGHT / count}`;
    return isHeld.flatMap((held, index) => (held ? [`M10 ${topOf(index, upwards, count)}${step}`] : [])).join("");
  }, [isHeld, plane, upwards, count]);
  return (
    <>
      <rect className="slice-map-lungs" x="14" width="38" y={top} height={reach} rx="4" ry="4" />
      <path className="slice-map-held" d={arrived} />
    </>
  );
}

/** Upper end of an image's share of the map. */
function topOf(index: number, upwards: boolean, count: number): number {
  return ((upwards ? count - 1 - index : index) / count) * HEIGHT;
}
