/** One plane: its image, the outlines on it, and what is written in its corners. */

import { useEffect, useMemo, useRef, useState, type Dispatch, type ReactElement } from "react";
import type { Finding, Review } from "../api/schemas";
import { useWords } from "../parts/context";
import { useBox } from "../parts/hooks";
import { traceLabels } from "../image/contours";
import { cutHu, cutLabels, lettersOf, MISSING_HU, planeIndex, planeShape, toPixel, type Plane } from "../image/planes";
import { lengthMm, placeImage } from "../image/view";
import { paint, toneTable } from "../image/window";
import type { SliceNumbers } from "../state/slice_numbers";
import type { Viewer, ViewerAction } from "../state/viewer";
import { fixed } from "../words/dictionary";
import { drawPlane, readColours, type Drawing } from "./drawing";
import { useGestures } from "./gestures";

export interface ViewportProps {
  readonly plane: Plane;
  readonly single: boolean;
  readonly viewer: Viewer;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly findings: readonly Finding[];
  readonly chosen: Finding | null;
  readonly reviews: ReadonlyMap<string, Review>;
  readonly numbers: SliceNumbers;
  readonly readHu: (index: number) => Int16Array | undefined;
  readonly readLabels: (index: number) => Uint16Array | undefined;
  readonly onChoose: (finding: Finding) => void;
}

export function Viewport(props: ViewportProps): ReactElement {
  const { plane, viewer, dispatch, findings, chosen, reviews, readHu, readLabels } = props;
  const { grid } = viewer;
  const shape = useMemo(() => planeShape(grid, plane), [grid, plane]);
  const index = planeIndex(viewer.place, plane);
  const [frame, box] = useBox<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [under, setUnder] = useState<{ x: number; y: number } | null>(null);

  const hu = useMemo(() => cutHu(readHu, grid, plane, index), [readHu, grid, plane, index]);
  const table = useMemo(() => toneTable(viewer.window), [viewer.window]);
  const image = useMemo(() => painted(hu, table, shape.width, shape.height), [hu, table, shape]);
  const outlines = useMemo(
    () => traceLabels(cutLabels(readLabels, grid, plane, index), shape.width, shape.height),
    [readLabels, grid, plane, index, shape],
  );
  const placement = useMemo(() => placeImage(viewer.views[plane], box, shape), [viewer.views, plane, box, shape]);

  useEffect(() => {
    const element = canvas.current;
    if (!element || box.width === 0) return;
    const drawing: Drawing = {
      image,
      placement,
      shape,
      outlines: viewer.outlines ? outlines : new Map(),
      findings,
      chosen,
      reviews,
      cross: props.single ? null : toPixel(viewer.place, plane, grid),
      ruler: viewer.ruler?.plane === plane && viewer.ruler.index === index ? viewer.ruler : null,
    };
    drawPlane(element, box, drawing, readColours(element));
  }, [image, placement, shape, outlines, findings, chosen, reviews, viewer, plane, index, grid, box, props.single]);

  useGestures(frame, { plane, viewer, dispatch, box, shape, placement, index, onUnder: setUnder });
  return (
    <div
      ref={frame}
      className="viewport"
      data-plane={plane}
      data-tool={viewer.tool}
      data-ready={readHu(plane === "axial" ? index : viewer.place.slice) !== undefined}
    >
      <canvas ref={canvas} aria-hidden="true" />
      <Corners {...props} index={index} hu={hu} under={under} />
    </div>
  );
}

/** The image as a canvas of its own size, to be drawn at any other. */
function painted(hu: Int16Array, table: Uint32Array, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  const pixels = context.createImageData(width, height);
  paint(hu, table, new Uint32Array(pixels.data.buffer));
  context.putImageData(pixels, 0, 0);
  return canvas;
}

interface CornersProps extends ViewportProps {
  readonly index: number;
  readonly hu: Int16Array;
  readonly under: { x: number; y: number } | null;
}

function Corners({ plane, viewer, numbers, index, hu, under, single }: CornersProps): ReactElement {
  const { words, language } = useWords();
  const { grid, window: tones, ruler } = viewer;
  const letters = lettersOf(grid, plane);
  const shape = planeShape(grid, plane);
  const number = plane === "axial" ? numbers.numberOf(index) : index + 1;
  const [x, y] = under ? [Math.round(under.x), Math.round(under.y)] : [-1, -1];
  const inside = x >= 0 && y >= 0 && x < shape.width && y < shape.height;
  const value = inside ? (hu[y * shape.width + x] ?? MISSING_HU) : MISSING_HU;
  return (
    <>
      <p className="corner corner-top-left">
        <span className="corner-plane">{words.viewer.planes[plane]}</span>
        <span className="corner-slice" data-testid={`slice-${plane}`}>
          {words.viewer.sliceOf(number, shape.count)}
        </span>
      </p>
      {single || plane === "axial" ? (
        <p className="corner corner-bottom-left">
          <span data-testid="window">{words.viewer.window(tones.width, fixed(tones.center, 0, language))}</span>
        </p>
      ) : null}
      <p className="corner corner-bottom-right">
        {ruler?.plane === plane && ruler.index === index ? (
          <span className="corner-ruler">{fixed(lengthMm(ruler.from, ruler.to, shape), 1, language)} mm</span>
        ) : null}
        {value === MISSING_HU ? null : <span>{fixed(value, 0, language)} HU</span>}
        <span>{words.viewer.zoom(Math.round(viewer.views[plane].zoom * 100))}</span>
      </p>
      <span className="letter letter-left" aria-hidden="true">
        <span>{letters.left}</span>
      </span>
      <span className="letter letter-right" aria-hidden="true">
        <span>{letters.right}</span>
      </span>
      <span className="letter letter-top" aria-hidden="true">
        <span>{letters.top}</span>
      </span>
      <span className="letter letter-bottom" aria-hidden="true">
        <span>{letters.bottom}</span>
      </span>
    </>
  );
}
