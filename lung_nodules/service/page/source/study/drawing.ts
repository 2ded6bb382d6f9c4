/** Draws a plane into its canvas: the image, the outlines with their names, the cross of places, the ruler. */

import type { Finding, Review } from "../api/schemas";
import { soften, type Line } from "../image/contours";
import type { PlaneShape } from "../image/planes";
import { onScreen, type Box, type Placement } from "../image/view";
import type { Ruler } from "../state/viewer";

export interface Drawing {
  readonly image: HTMLCanvasElement;
  readonly placement: Placement;
  readonly shape: PlaneShape;
  readonly outlines: ReadonlyMap<number, readonly Line[]>; // by label
  readonly findings: readonly Finding[];
  readonly chosen: Finding | null;
  readonly reviews: ReadonlyMap<string, Review>;
  readonly cross: { readonly x: number; readonly y: number } | null;
  readonly ruler: Ruler | null;
}

export interface Colours {
  readonly suspicion: Readonly<Record<string, string>>;
  readonly cross: string;
  readonly ruler: string;
  readonly font: string;
}

/** Colours and font as the style sheet has them. */
export function readColours(element: HTMLElement): Colours {
  const style = getComputedStyle(element);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  return {
    suspicion: {
      suspicious: colour("--on-image-suspicious"),
      indeterminate: colour("--on-image-indeterminate"),
      unlikely: colour("--on-image-unlikely"),
    },
    cross: colour("--on-image-cross"),
    ruler: colour("--on-image-ruler"),
    font: style.fontFamily,
  };
}

export function drawPlane(canvas: HTMLCanvasElement, box: Box, drawing: Drawing, colours: Colours): void {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  drawImage(context, drawing);
  if (drawing.cross) drawCross(context, box, drawing.cross, drawing.placement, colours);
  for (const finding of drawing.findings) drawOutline(context, finding, drawing, colours);
  if (drawing.ruler) drawRuler(context, drawing.ruler, drawing.placement, colours);
}

function drawImage(context: CanvasRenderingContext2D, { image, placement, shape }: Drawing): void {
  const { left, top, scaleX, scaleY } = placement;
  context.imageSmoothingEnabled = Math.max(scaleX, scaleY) < 8; // single pixels are shown as such
  context.imageSmoothingQuality = "high";
  context.drawImage(image, left, top, shape.width * scaleX, shape.height * scaleY);
}

function drawOutline(context: CanvasRenderingContext2D, finding: Finding, drawing: Drawing, colours: Colours): void {
  const lines = drawing.outlines.get(finding.outline_label);
  if (!lines) return;
  const isChosen = finding.finding_id === drawing.chosen?.finding_id;
  const isRejected = drawing.reviews.get(finding.finding_id)?.verdict === "rejected";
  const path = new Path2D();
  let right = { x: -Infinity, y: 0 };
  for (const line of lines) {
    const points = soften(line);
    for (let index = 0; index < points.length; index += 2) {
      const { x, y } = onScreen(points[index] ?? 0, points[index + 1] ?? 0, drawing.placement);
      if (index === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
      if (x > right.x) right = { x, y };
    }
    path.closePath();
  }
  context.save();
  context.globalAlpha = isRejected ? 0.55 : 1;
  context.setLineDash(isRejected ? [3, 3] : []);
  context.lineJoin = "round";
  context.strokeStyle = "rgb(0 0 0 / 0.55)"; // keeps the line off bright tissue
  context.lineWidth = isChosen ? 4 : 3;
  context.stroke(path);
  context.strokeStyle = colours.suspicion[finding.suspicion] ?? "white";
  context.lineWidth = isChosen ? 2 : 1.25;
  context.stroke(path);
  drawName(context, finding.finding_id, right, isChosen, colours);
  context.restore();
}

function drawName(
  context: CanvasRenderingContext2D,
  name: string,
  at: { x: number; y: number },
  isChosen: boolean,
  colours: Colours,
): void {
  context.font = `${isChosen ? 600 : 500} 12px ${colours.font}`;
  context.textBaseline = "middle";
  context.setLineDash([]);
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / 0.7)";
  context.fillStyle = "rgb(255 255 255 / 0.92)";
  context.strokeText(name, at.x + 6, at.y);
  context.fillText(name, at.x + 6, at.y);
}

/** Lines through the place, open around it so that nothing there is hidden. */
function drawCross(
  context: CanvasRenderingContext2D,
  box: Box,
  place: { x: number; y: number },
  placement: Placement,
  colours: Colours,
): void {
  const { x, y } = onScreen(place.x, place.y, placement);
  const gap = 18;
  context.strokeStyle = colours.cross;
  context.lineWidth = 1;
  context.beginPath();
  for (const [fromX, fromY, toX, toY] of [
    [0, y, x - gap, y],
    [x + gap, y, box.width, y],
    [x, 0, x, y - gap],
    [x, y + gap, x, box.height],
  ] as const) {
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
  }
  context.stroke();
}

function drawRuler(context: CanvasRenderingContext2D, ruler: Ruler, placement: Placement, colours: Colours): void {
  const from = onScreen(ruler.from.x, ruler.from.y, placement);
  const to = onScreen(ruler.to.x, ruler.to.y, placement);
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const across = { x: (-(to.y - from.y) / length) * 6, y: ((to.x - from.x) / length) * 6 };
  for (const [style, width] of [
    ["rgb(0 0 0 / 0.6)", 3.5],
    [colours.ruler, 1.5],
  ] as const) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    for (const end of [from, to]) {
      context.moveTo(end.x - across.x, end.y - across.y);
      context.lineTo(end.x + across.x, end.y + across.y);
    }
    context.stroke();
  }
}
