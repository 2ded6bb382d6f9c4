/** Mouse, wheel and touch on a viewport, as actions of the viewer. */

import { useEffect, useRef, type Dispatch, type RefObject } from "react";
import { planeIndex, toPlace, type Plane, type PlaneShape } from "../image/planes";
import { panBy, underPoint, zoomAt, type Box, type Placement } from "../image/view";
import { dragWindow } from "../image/window";
import { readingStep } from "../state/slice_numbers";
import type { Tool, Viewer, ViewerAction } from "../state/viewer";

export interface GestureContext {
  readonly plane: Plane;
  readonly viewer: Viewer;
  readonly dispatch: Dispatch<ViewerAction>;
  readonly box: Box;
  readonly shape: PlaneShape;
  readonly placement: Placement;
  readonly index: number;
  readonly onUnder: (pixel: { x: number; y: number } | null) => void;
}

const WHEEL_STEP = 40; // of a wheel's pixels; a notch has about a hundred, a touch pad a few

/** What a drag does: the chosen tool, unless a button or the shift key says otherwise. */
export function dragTool(tool: Tool, button: number, shift: boolean): Tool {
  if (button === 1 || shift) return "pan";
  return button === 2 ? "zoom" : tool;
}

/** Whole steps in what a wheel or drag has summed up, and what remains for the next. */
export function wholeSteps(sum: number, step: number): { steps: number; rest: number } {
  const steps = Math.trunc(sum / step);
  return { steps, rest: sum - steps * step };
}

interface Drag {
  readonly tool: Tool;
  x: number;
  y: number;
  rest: number;
}

type Point = { readonly x: number; readonly y: number };

export function useGestures(frame: RefObject<HTMLElement | null>, context: GestureContext): void {
  const latest = useRef(context);
  useEffect(() => {
    latest.current = context;
  });
  useEffect(() => {
    const element = frame.current;
    return element ? listen(element, () => latest.current) : undefined;
  }, [frame]);
}

function listen(element: HTMLElement, now: () => GestureContext): () => void {
  const fingers = new Map<number, Point>();
  let drag: Drag | null = null;
  let wheelRest = 0;
  const at = (event: MouseEvent): Point => {
    const frame = element.getBoundingClientRect();
    return { x: event.clientX - frame.left, y: event.clientY - frame.top };
  };

  const down = (event: PointerEvent): void => {
    if (event.pointerType !== "touch") event.preventDefault();
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    const { x, y } = at(event);
    const tool = dragTool(now().viewer.tool, event.button, event.shiftKey);
    drag = fingers.size > 1 ? null : { tool, x, y, rest: 0 };
    if (drag?.tool === "ruler") beginRuler(now(), { x, y });
  };
  const move = (event: PointerEvent): void => {
    const point = at(event);
    const before = fingers.get(event.pointerId);
    if (event.pointerType === "mouse") now().onUnder(underPoint(point.x, point.y, now().placement));
    if (!before) return;
    fingers.set(event.pointerId, point);
    if (fingers.size === 2) pinch(now(), [...fingers.values()], before, point);
    else if (drag) continueDrag(now(), drag, point);
  };
  const up = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
    drag = null;
  };
  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const { plane, viewer, dispatch, box, shape } = now();
    const delta = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 33 : event.deltaY;
    if (event.ctrlKey) {
      const { x, y } = at(event);
      dispatch({ type: "view", plane, view: zoomAt(viewer.views[plane], Math.exp(-delta / 300), x, y, box, shape) });
      return;
    }
    const { steps, rest } = wholeSteps(wheelRest + delta, Math.min(WHEEL_STEP, Math.abs(delta) || WHEEL_STEP));
    wheelRest = rest;
    if (steps) dispatch({ type: "step", plane, by: Math.sign(steps) * readingStep(viewer.grid, plane) });
  };
  const leave = (): void => now().onUnder(null);
  const goThere = (event: MouseEvent): void => {
    const { plane, viewer, dispatch, placement } = now();
    const { x, y } = at(event);
    const pixel = underPoint(x, y, placement);
    dispatch({ type: "place", place: toPlace(pixel.x, pixel.y, plane, viewer.place, viewer.grid) });
  };
  const ignore = (event: Event): void => event.preventDefault();

  const abort = new AbortController();
  const { signal } = abort;
  element.addEventListener("pointerdown", down, { signal });
  element.addEventListener("pointermove", move, { signal });
  element.addEventListener("pointerup", up, { signal });
  element.addEventListener("pointercancel", up, { signal });
  element.addEventListener("pointerleave", leave, { signal });
  element.addEventListener("wheel", wheel, { signal, passive: false });
  element.addEventListener("dblclick", goThere, { signal });
  element.addEventListener("contextmenu", ignore, { signal });
  return () => abort.abort();
}

function continueDrag(context: GestureContext, drag: Drag, point: Point): void {
  const { plane, viewer, dispatch, box, shape } = context;
  const [dx, dy] = [point.x - drag.x, point.y - drag.y];
  drag.x = point.x;
  drag.y = point.y;
  const view = viewer.views[plane];
  switch (drag.tool) {
    case "window":
      dispatch({ type: "window", window: dragWindow(viewer.window, dx, dy) });
      return;
    case "pan":
      dispatch({ type: "view", plane, view: panBy(view, dx, dy, box, shape) });
      return;
    case "zoom":
      dispatch({
        type: "view",
        plane,
        view: zoomAt(view, Math.exp(-dy / 150), box.width / 2, box.height / 2, box, shape),
      });
      return;
    case "scroll": {
      const { steps, rest } = wholeSteps(drag.rest + dy, Math.max(3, box.height / shape.count));
      drag.rest = rest;
      if (steps) dispatch({ type: "step", plane, by: steps * readingStep(viewer.grid, plane) });
      return;
    }
    case "ruler": {
      const to = underPoint(point.x, point.y, context.placement);
      if (viewer.ruler) dispatch({ type: "ruler", ruler: { ...viewer.ruler, to } });
    }
  }
}

function beginRuler({ plane, viewer, dispatch, placement }: GestureContext, point: Point): void {
  const from = underPoint(point.x, point.y, placement);
  dispatch({ type: "ruler", ruler: { plane, index: planeIndex(viewer.place, plane), from, to: from } });
}

/** Two fingers: their distance zooms, their middle pans. */
function pinch(context: GestureContext, points: readonly Point[], before: Point, after: Point): void {
  const { plane, viewer, dispatch, box, shape } = context;
  const other = points.find((point) => point !== after);
  if (!other) return;
  const distance = (point: Point): number => Math.hypot(point.x - other.x, point.y - other.y) || 1;
  const middle = { x: (after.x + other.x) / 2, y: (after.y + other.y) / 2 };
  const panned = panBy(viewer.views[plane], (after.x - before.x) / 2, (after.y - before.y) / 2, box, shape);
  const factor = distance(after) / distance(before);
  dispatch({ type: "view", plane, view: zoomAt(panned, factor, middle.x, middle.y, box, shape) });
}
