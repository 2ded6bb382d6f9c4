/** What the viewer shows: place, window, zoom of each plane, tool; and how it answers to what the reader does. */

import type { Finding } from "../api/schemas";
import {
  clampPlace,
  planeIndex,
  PLANES,
  planeShape,
  withPlaneIndex,
  toPixel,
  type Grid,
  type Place,
  type Plane,
} from "../image/planes";
import { centreOn, WHOLE, type View } from "../image/view";
import { clampWindow, PRESETS, type PresetName, type Window } from "../image/window";

export type Layout = Plane | "three";
export const LAYOUTS: readonly Layout[] = [...PLANES, "three"];
export type Tool = "window" | "scroll" | "pan" | "zoom" | "ruler";
export const TOOLS: readonly Tool[] = ["window", "scroll", "pan", "zoom", "ruler"];

export interface Ruler {
  readonly plane: Plane;
  readonly index: number; // of the image on which it lies
  readonly from: { readonly x: number; readonly y: number }; // pixels
  readonly to: { readonly x: number; readonly y: number };
}

export interface Viewer {
  readonly grid: Grid;
  readonly place: Place;
  readonly layout: Layout;
  readonly window: Window;
  readonly views: Readonly<Record<Plane, View>>;
  readonly tool: Tool;
  readonly outlines: boolean;
  readonly ruler: Ruler | null;
}

export type ViewerAction =
  | { readonly type: "place"; readonly place: Place }
  | { readonly type: "step"; readonly plane: Plane; readonly by: number }
  | { readonly type: "index"; readonly plane: Plane; readonly index: number }
  | { readonly type: "layout"; readonly layout: Layout }
  | { readonly type: "preset"; readonly preset: PresetName }
  | { readonly type: "window"; readonly window: Window }
  | { readonly type: "view"; readonly plane: Plane; readonly view: View }
  | { readonly type: "tool"; readonly tool: Tool }
  | { readonly type: "outlines" }
  | { readonly type: "ruler"; readonly ruler: Ruler | null }
  | { readonly type: "finding"; readonly finding: Finding }
  | { readonly type: "reset" };

const WHOLE_VIEWS: Viewer["views"] = { axial: WHOLE, coronal: WHOLE, sagittal: WHOLE };

export function openViewer(grid: Grid, tool: Tool): Viewer {
  const middle = { slice: grid.numSlices / 2, row: grid.numRows / 2, column: grid.numColumns / 2 };
  return {
    grid,
    place: clampPlace(middle, grid),
    layout: "axial",
    window: PRESETS.lung,
    views: WHOLE_VIEWS,
    tool,
    outlines: true,
    ruler: null,
  };
}

export function viewerReducer(viewer: Viewer, action: ViewerAction): Viewer {
  const { grid } = viewer;
  switch (action.type) {
    case "place":
      return { ...viewer, place: clampPlace(action.place, grid) };
    case "step": {
      const index = planeIndex(viewer.place, action.plane) + action.by;
      return { ...viewer, place: withPlaneIndex(viewer.place, action.plane, index, grid) };
    }
    case "index":
      return { ...viewer, place: withPlaneIndex(viewer.place, action.plane, action.index, grid) };
    case "layout":
      return { ...viewer, layout: action.layout };
    case "preset":
      return { ...viewer, window: PRESETS[action.preset] };
    case "window":
      return { ...viewer, window: clampWindow(action.window) };
    case "view":
      return { ...viewer, views: { ...viewer.views, [action.plane]: action.view } };
    case "tool":
      return { ...viewer, tool: action.tool };
    case "outlines":
      return { ...viewer, outlines: !viewer.outlines };
    case "ruler":
      return { ...viewer, ruler: action.ruler };
    case "finding":
      return showFinding(viewer, action.finding);
    case "reset":
      return { ...viewer, window: PRESETS.lung, views: WHOLE_VIEWS, ruler: null };
  }
}

/** Where a finding is best seen: its widest slice, and its centre within it. */
export function placeOf(finding: Finding, grid: Grid): Place {
  const [, row, column] = finding.position.center_voxel;
  return clampPlace({ slice: finding.position.slice.index, row, column }, grid);
}

/** Go to a finding; planes that are zoomed are centred on it, whole ones stay whole. */
function showFinding(viewer: Viewer, finding: Finding): Viewer {
  const place = placeOf(finding, viewer.grid);
  const centred = (plane: Plane): View => {
    const view = viewer.views[plane];
    if (view.zoom <= 1) return view;
    return centreOn(toPixel(place, plane, viewer.grid), view.zoom, planeShape(viewer.grid, plane));
  };
  const views = { axial: centred("axial"), coronal: centred("coronal"), sagittal: centred("sagittal") };
  return { ...viewer, place, views };
}

/** The finding after or before one in the list, around its ends; the first or last where none is chosen. */
export function neighbour(findings: readonly Finding[], chosen: string | null, by: 1 | -1): Finding | undefined {
  const at = findings.findIndex((finding) => finding.finding_id === chosen);
  if (at < 0) return by > 0 ? findings[0] : findings.at(-1);
  return findings[(at + by + findings.length) % findings.length];
}

/** First and last slice of each finding by its label, from the slices that have labels. */
export function labelExtents(
  indices: readonly number[],
  read: (index: number) => Uint16Array | undefined,
): Map<number, readonly [number, number]> {
  const extents = new Map<number, readonly [number, number]>();
  for (const index of indices) {
    for (const label of new Set(read(index) ?? [])) {
      if (label === 0) continue;
      const [first, last] = extents.get(label) ?? [index, index];
      extents.set(label, [Math.min(first, index), Math.max(last, index)]);
    }
  }
  return extents;
}

/** Slices that a finding spans before its labels have come: its equivalent sphere around its centre. */
export function guessedExtent(finding: Finding, grid: Grid): readonly [number, number] {
  const half = finding.size.equivalent_sphere_diameter_mm / 2 / grid.spacingMm[0];
  const centre = finding.position.center_voxel[0];
  return [Math.max(0, centre - half), Math.min(grid.numSlices - 1, centre + half)];
}
