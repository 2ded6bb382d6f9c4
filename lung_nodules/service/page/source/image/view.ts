/** Zoom and pan: how an image lies in its viewport. Screen lengths are CSS pixels, image lengths pixels. */

import type { PlaneShape } from "./planes";

export interface View {
  readonly zoom: number; // 1: the whole image fits
  readonly panX: number; // of the image's centre from the viewport's, in shares of the fitted image's larger side
  readonly panY: number;
}

export interface Box {
  readonly width: number;
  readonly height: number;
}

/** Where the image lies: its left upper corner, and screen pixels for one of its pixels. */
export interface Placement {
  readonly left: number;
  readonly top: number;
  readonly scaleX: number;
  readonly scaleY: number;
}

export const WHOLE: View = { zoom: 1, panX: 0, panY: 0 };
const SMALLEST = 0.5;
const LARGEST = 24;

/** Screen pixels for a millimetre at zoom 1. */
export function fittedScale(box: Box, shape: PlaneShape): number {
  return Math.min(box.width / (shape.width * shape.spacingX), box.height / (shape.height * shape.spacingY));
}

function unitOf(box: Box, shape: PlaneShape): number {
  return fittedScale(box, shape) * Math.max(shape.width * shape.spacingX, shape.height * shape.spacingY);
}

export function placeImage(view: View, box: Box, shape: PlaneShape): Placement {
  const scale = fittedScale(box, shape) * view.zoom;
  const unit = unitOf(box, shape);
  const scaleX = scale * shape.spacingX;
  const scaleY = scale * shape.spacingY;
  return {
    left: (box.width - shape.width * scaleX) / 2 + view.panX * unit,
    top: (box.height - shape.height * scaleY) / 2 + view.panY * unit,
    scaleX,
    scaleY,
  };
}

/** The image's pixel (a pixel's centre at its index) under a point of the screen. */
export function underPoint(x: number, y: number, placement: Placement): { x: number; y: number } {
  return { x: (x - placement.left) / placement.scaleX - 0.5, y: (y - placement.top) / placement.scaleY - 0.5 };
}

/** The inverse of `underPoint`. */
export function onScreen(x: number, y: number, placement: Placement): { x: number; y: number } {
  return { x: placement.left + (x + 0.5) * placement.scaleX, y: placement.top + (y + 0.5) * placement.scaleY };
}

/** Zoom by a factor so that what is under a point stays there. */
export function zoomAt(view: View, factor: number, x: number, y: number, box: Box, shape: PlaneShape): View {
  const zoom = Math.min(LARGEST, Math.max(SMALLEST, view.zoom * factor));
  const unit = unitOf(box, shape);
  const kept = zoom / view.zoom;
  const fromCentre = { x: x - box.width / 2, y: y - box.height / 2 };
  return {
    zoom,
    panX: (fromCentre.x - (fromCentre.x - view.panX * unit) * kept) / unit,
    panY: (fromCentre.y - (fromCentre.y - view.panY * unit) * kept) / unit,
  };
}

/** Move the image by screen pixels; its centre stays within the viewport. */
export function panBy(view: View, dx: number, dy: number, box: Box, shape: PlaneShape): View {
  const unit = unitOf(box, shape);
  const [farX, farY] = [(view.zoom * box.width) / 2 / unit, (view.zoom * box.height) / 2 / unit];
  const within = (value: number, far: number): number => Math.min(far, Math.max(-far, value));
  return { ...view, panX: within(view.panX + dx / unit, farX), panY: within(view.panY + dy / unit, farY) };
}

/** The view that has a pixel of the image in the middle. */
export function centreOn(pixel: { x: number; y: number }, zoom: number, shape: PlaneShape): View {
  const larger = Math.max(shape.width * shape.spacingX, shape.height * shape.spacingY);
  return {
    zoom,
    panX: (((shape.width - 1) / 2 - pixel.x) * shape.spacingX * zoom) / larger,
    panY: (((shape.height - 1) / 2 - pixel.y) * shape.spacingY * zoom) / larger,
  };
}

/** Length in mm between two pixels of an image. */
export function lengthMm(a: { x: number; y: number }, b: { x: number; y: number }, shape: PlaneShape): number {
  return Math.hypot((a.x - b.x) * shape.spacingX, (a.y - b.y) * shape.spacingY);
}
