/**
 * Outlines of labels: the cracks between pixels, followed round each region, outside to the right of the way.
 *
 * Our own, because the usual marching squares works on one threshold and one level at a time; here each label of an
 * image is followed once, and the area within a followed line is the region's number of pixels to the last one.
 */

/** x and y in turn; a pixel covers the square around its index, so its corners are at halves. */
export type Line = readonly number[];

// Steps along a crack: east, south, west, north.
const STEP_X = [1, 0, -1, 0] as const;
const STEP_Y = [0, 1, 0, -1] as const;

/**
 * Follow the outlines of all labels in an image.
 *
 * @returns For each label other than 0 its closed lines of unit steps, around regions and around holes in them.
 */
export function traceLabels(labels: Uint16Array, width: number, height: number): Map<number, Line[]> {
  const cracks = collectCracks(labels, width, height);
  const lines = new Map<number, Line[]>();
  for (const [label, starts] of cracks) lines.set(label, linkCracks(starts, width + 1));
  return lines;
}

/** Cracks by label: a corner's number -> bits of the directions in which a crack leaves it, label to the right. */
function collectCracks(labels: Uint16Array, width: number, height: number): Map<number, Map<number, number>> {
  const cracks = new Map<number, Map<number, number>>();
  const corners = width + 1;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const label = labels[y * width + x] ?? 0;
      if (label === 0) continue;
      const leaving = cracks.get(label) ?? new Map<number, number>();
      cracks.set(label, leaving);
      const other = (dx: number, dy: number): boolean => {
        const [nx, ny] = [x + dx, y + dy];
        return nx < 0 || ny < 0 || nx >= width || ny >= height || labels[ny * width + nx] !== label;
      };
      if (other(0, -1)) leave(leaving, y * corners + x, 0);
      if (other(1, 0)) leave(leaving, y * corners + x + 1, 1);
      if (other(0, 1)) leave(leaving, (y + 1) * corners + x + 1, 2);
      if (other(-1, 0)) leave(leaving, (y + 1) * corners + x, 3);
    }
  }
  return cracks;
}

function leave(leaving: Map<number, number>, corner: number, direction: number): void {
  leaving.set(corner, (leaving.get(corner) ?? 0) | (1 << direction));
}

/** Where two ways leave a corner, the right turn is taken, so that pixels that touch at a corner stay apart. */
function linkCracks(leaving: Map<number, number>, corners: number): Line[] {
  const lines: Line[] = [];
  for (const [start, bits] of leaving) {
    for (let first = 0; first < 4; first += 1) {
      if (((leaving.get(start) ?? bits) & (1 << first)) === 0) continue;
      lines.push(followCrack(leaving, corners, start, first));
    }
  }
  return lines;
}

function followCrack(leaving: Map<number, number>, corners: number, start: number, first: number): Line {
  const line: number[] = [];
  let corner = start;
  let direction = first;
  do {
    leaving.set(corner, (leaving.get(corner) ?? 0) & ~(1 << direction));
    line.push((corner % corners) - 0.5, Math.floor(corner / corners) - 0.5);
    corner += (STEP_X[direction] ?? 0) + (STEP_Y[direction] ?? 0) * corners;
    const bits = leaving.get(corner) ?? 0;
    const arrived = direction;
    direction = [arrived + 1, arrived, arrived + 3].map((way) => way % 4).find((way) => bits & (1 << way)) ?? -1;
  } while (corner !== start && direction >= 0);
  return line;
}

/** The middles of a line's steps, which cuts its corners: the line that marching squares would give. */
export function soften(line: Line): Line {
  const middles: number[] = [];
  for (let index = 0; index < line.length; index += 2) {
    const next = (index + 2) % line.length;
    middles.push(((line[index] ?? 0) + (line[next] ?? 0)) / 2, ((line[index + 1] ?? 0) + (line[next + 1] ?? 0)) / 2);
  }
  return middles;
}

/** Area within a closed line, by the shoelace formula; holes count negative. */
export function areaOf(line: Line): number {
  let twice = 0;
  for (let index = 0; index < line.length; index += 2) {
    const next = (index + 2) % line.length;
    twice += (line[index] ?? 0) * (line[next + 1] ?? 0) - (line[next] ?? 0) * (line[index + 1] ?? 0);
  }
  return twice / 2;
}
