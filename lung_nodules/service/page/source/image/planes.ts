/**
 * Axial, coronal and sagittal planes of a volume that is kept as axial slices.
 *
 * Indices are `[slice, row, column]`, as everywhere in the service. Coronal and sagittal images are shown with the head
 * up, so their lines run against the slices where these are ordered towards the head.
 */

export type Plane = "axial" | "coronal" | "sagittal";
export const PLANES: readonly Plane[] = ["axial", "coronal", "sagittal"];

export interface Grid {
  readonly numSlices: number;
  readonly numRows: number;
  readonly numColumns: number;
  readonly spacingMm: readonly [number, number, number]; // between slices, rows, columns
  readonly direction: readonly (readonly number[])[]; // line k: unit vector (LPS) along index k
}

/** A place in the volume, in whole indices. */
export interface Place {
  readonly slice: number;
  readonly row: number;
  readonly column: number;
}

export interface PlaneShape {
  readonly width: number; // pixels
  readonly height: number;
  readonly spacingX: number; // mm
  readonly spacingY: number;
  readonly count: number; // planes of this kind
}

export interface Letters {
  readonly left: string;
  readonly right: string;
  readonly top: string;
  readonly bottom: string;
}

type Reader<T> = (slice: number) => T | undefined;

/** How large the images of a plane are. */
export function planeShape(grid: Grid, plane: Plane): PlaneShape {
  const [sliceMm, rowMm, columnMm] = grid.spacingMm;
  switch (plane) {
    case "axial":
      return {
        width: grid.numColumns,
        height: grid.numRows,
        spacingX: columnMm,
        spacingY: rowMm,
        count: grid.numSlices,
      };
    case "coronal":
      return {
        width: grid.numColumns,
        height: grid.numSlices,
        spacingX: columnMm,
        spacingY: sliceMm,
        count: grid.numRows,
      };
    case "sagittal":
      return {
        width: grid.numRows,
        height: grid.numSlices,
        spacingX: rowMm,
        spacingY: sliceMm,
        count: grid.numColumns,
      };
  }
}

/** Whether slices are ordered towards the head, so that reformats are drawn from the last one down. */
export function headIsLast(grid: Grid): boolean {
  return (grid.direction[0]?.[2] ?? 1) >= 0;
}

/** Which image of a plane goes through a place. */
export function planeIndex(place: Place, plane: Plane): number {
  return plane === "axial" ? place.slice : plane === "coronal" ? place.row : place.column;
}

/** The same place on another image of a plane, kept within the volume. */
export function withPlaneIndex(place: Place, plane: Plane, index: number, grid: Grid): Place {
  const key = plane === "axial" ? "slice" : plane === "coronal" ? "row" : "column";
  return clampPlace({ ...place, [key]: index }, grid);
}

/** The nearest place within the volume. */
export function clampPlace(place: Place, grid: Grid): Place {
  return {
    slice: clampIndex(place.slice, grid.numSlices),
    row: clampIndex(place.row, grid.numRows),
    column: clampIndex(place.column, grid.numColumns),
  };
}

function clampIndex(value: number, count: number): number {
  return Math.min(count - 1, Math.max(0, Math.round(value)));
}

/** Where a place lies on the image of a plane: x to the right, y down, in pixels, a pixel's centre at its index. */
export function toPixel(place: Place, plane: Plane, grid: Grid): { x: number; y: number } {
  const line = headIsLast(grid) ? grid.numSlices - 1 - place.slice : place.slice;
  switch (plane) {
    case "axial":
      return { x: place.column, y: place.row };
    case "coronal":
      return { x: place.column, y: line };
    case "sagittal":
      return { x: place.row, y: line };
  }
}

/** The inverse of `toPixel`: the place under a pixel, what the image does not tell taken from `through`. */
export function toPlace(x: number, y: number, plane: Plane, through: Place, grid: Grid): Place {
  const slice = headIsLast(grid) ? grid.numSlices - 1 - y : y;
  switch (plane) {
    case "axial":
      return clampPlace({ slice: through.slice, row: y, column: x }, grid);
    case "coronal":
      return clampPlace({ slice, row: through.row, column: x }, grid);
    case "sagittal":
      return clampPlace({ slice, row: x, column: through.column }, grid);
  }
}

/** What stands where a slice has not arrived: black in every window, and no HU that a CT has. */
export const MISSING_HU = -0x8000;

/** A plane of HU; slices that have not arrived are `MISSING_HU`. */
export function cutHu(read: Reader<Int16Array>, grid: Grid, plane: Plane, index: number): Int16Array {
  const { width, height } = planeShape(grid, plane);
  if (plane === "axial") return read(index) ?? new Int16Array(width * height).fill(MISSING_HU);
  const image = new Int16Array(width * height).fill(MISSING_HU);
  copyLines(read, grid, plane, index, image);
  return image;
}

/** A plane of labels; slices without any are 0. */
export function cutLabels(read: Reader<Uint16Array>, grid: Grid, plane: Plane, index: number): Uint16Array {
  const { width, height } = planeShape(grid, plane);
  if (plane === "axial") return read(index) ?? new Uint16Array(width * height);
  const image = new Uint16Array(width * height);
  copyLines(read, grid, plane, index, image);
  return image;
}

function copyLines<T extends Int16Array | Uint16Array>(
  read: Reader<T>,
  grid: Grid,
  plane: "coronal" | "sagittal",
  index: number,
  image: T,
): void {
  const { numSlices, numRows, numColumns } = grid;
  const upwards = headIsLast(grid);
  for (let slice = 0; slice < numSlices; slice += 1) {
    const source = read(slice);
    if (!source) continue;
    const line = upwards ? numSlices - 1 - slice : slice;
    if (plane === "coronal") {
      image.set(source.subarray(index * numColumns, (index + 1) * numColumns), line * numColumns);
    } else {
      for (let row = 0; row < numRows; row += 1) image[line * numRows + row] = source[row * numColumns + index] ?? 0;
    }
  }
}

/** Where the patient's sides are on the image of a plane: one letter an edge, by the largest part of its direction. */
export function lettersOf(grid: Grid, plane: Plane): Letters {
  const [along = [0, 0, 1], down = [0, 1, 0], across = [1, 0, 0]] = grid.direction;
  const sign = headIsLast(grid) ? -1 : 1;
  const toRight = plane === "sagittal" ? down : across;
  const toBottom = plane === "axial" ? down : along.map((part) => sign * part);
  return {
    right: letterOf(toRight),
    left: letterOf(toRight.map((part) => -part)),
    bottom: letterOf(toBottom),
    top: letterOf(toBottom.map((part) => -part)),
  };
}

function letterOf(direction: readonly number[]): string {
  const names = [
    ["L", "R"],
    ["P", "A"],
    ["H", "F"],
  ] as const;
  const sizes = [0, 1, 2].map((axis) => Math.abs(direction[axis] ?? 0));
  const axis = sizes.indexOf(Math.max(...sizes));
  const pair = names[axis] ?? names[0];
  return (direction[axis] ?? 0) >= 0 ? pair[0] : pair[1];
}
