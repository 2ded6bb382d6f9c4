import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { FindingSchema, JobSchema, type Finding, type Job } from "../source/api/schemas";
import type { Grid } from "../source/image/planes";
import { arrangeLanes } from "../source/state/lanes";
import { readPreferences } from "../source/state/preferences";
import { readRoute, writeRoute } from "../source/state/route";
import { readingStep, sliceNumbers } from "../source/state/slice_numbers";
import { untold } from "../source/state/untold";
import { labelExtents, neighbour, openViewer, viewerReducer } from "../source/state/viewer";
import { canCancel, canRetry, EMPTY, matches, worklistReducer } from "../source/state/worklist";

const job = (id: string, state: Job["state"], minute: number, label = id): Job =>
  v.parse(JobSchema, {
    id,
    label,
    state,
    source: { kind: "archive", archive: "pacs", study_instance_uid: "1.2.3" },
    priority: 0,
    created_at: `2026-01-01T00:${String(minute).padStart(2, "0")}:00Z`,
  });

const slice = (index: number, viewer_number: number) => ({
  index,
  viewer_number,
  sop_instance_uid: "1",
  instance_number: null,
});

const finding = (id: string, index: number, viewerNumber: number): Finding =>
  v.parse(FindingSchema, {
    finding_id: id,
    tracking_id: id,
    tracking_uid: "2.25.1",
    outline_label: 1,
    suspicion: "suspicious",
    overall_suspicion: 0.8,
    suspicion_score: 0.9,
    nodule_probability: 0.9,
    candidate_score: 0.9,
    characteristics: {},
    density: "solid",
    solid_fraction: 1,
    mean_hu: 0,
    position: {
      side: "left",
      center_lps_mm: [0, 0, 0],
      center_voxel: [index + 0.4, 30.2, 40.7],
      slice: slice(index, viewerNumber),
    },
    size: {
      long_axis_mm: 10,
      short_axis_mm: 8,
      mean_diameter_mm: 9,
      axes_slice: slice(index, viewerNumber),
      volume_mm3: 300,
      equivalent_sphere_diameter_mm: 8.3,
    },
  });

const grid: Grid = {
  numSlices: 100,
  numRows: 64,
  numColumns: 64,
  spacingMm: [1, 1, 1],
  direction: [
    [0, 0, 1],
    [0, 1, 0],
    [1, 0, 0],
  ],
};

describe("work list", () => {
  const page = { jobs: [job("b", "done", 2), job("a", "queued", 1)], next_cursor: "x" };
  const list = worklistReducer(EMPTY, { type: "page", page, first: true });

  it("keeps the newest on top, whatever order news come in", () => {
    const grown = worklistReducer(list, { type: "job", job: job("c", "queued", 3) });
    expect(grown.jobs.map((one) => one.id)).toEqual(["c", "b", "a"]);
  });

  it("replaces a job in place, never doubles it", () => {
    const changed = worklistReducer(list, { type: "job", job: job("a", "running", 1) });
    expect(changed.jobs.map((one) => [one.id, one.state])).toEqual([
      ["b", "done"],
      ["a", "running"],
    ]);
  });

  it("appends a next page and forgets the list when the filter changes", () => {
    const more = worklistReducer(list, {
      type: "page",
      page: { jobs: [job("z", "done", 0)], next_cursor: null },
      first: false,
    });
    expect(more.jobs.map((one) => one.id)).toEqual(["b", "a", "z"]);
    expect(worklistReducer(more, { type: "filter", group: "waiting" })).toMatchObject({
      group: "waiting",
      jobs: [],
      loaded: false,
    });
  });

  it("lets a job go that no longer belongs to the group", () => {
    const waiting = worklistReducer({ ...list, group: "waiting" }, { type: "job", job: job("a", "running", 1) });
    expect(waiting.jobs).toEqual([]);
  });

  it("trusts an event more than a page that was asked for before it", () => {
    const asked = worklistReducer(list, { type: "load" });
    const heard = worklistReducer(asked, { type: "job", job: job("a", "refused", 1) });
    const shown = worklistReducer(heard, { type: "page", page, first: true });
    expect(shown.jobs.map((one) => [one.id, one.state])).toEqual([
      ["b", "done"],
      ["a", "refused"],
    ]);
    const later = worklistReducer(worklistReducer(shown, { type: "load" }), { type: "page", page, first: true });
    expect(later.jobs[1]?.state).toBe("queued");
  });

  it("keeps later pages when the first is read again, but not what has gone from it", () => {
    const second = { jobs: [job("z", "done", 0)], next_cursor: null };
    const grown = worklistReducer(list, { type: "page", page: second, first: false });
    const first = { jobs: [job("a", "queued", 1)], next_cursor: "x" };
    const again = worklistReducer(grown, { type: "page", page: first, first: true });
    expect(again.jobs.map((one) => one.id)).toEqual(["a", "z"]);
    expect(again.cursor).toBeNull();
  });

  it("keeps what it has when a page cannot be had", () => {
    const failed = worklistReducer(list, { type: "problem", problem: new Error("x") });
    expect(failed.jobs).toHaveLength(2);
    expect(failed.loading).toBe(false);
  });

  it("searches label, id and UID without regard to case", () => {
    const one = job("id-1", "done", 1, "4F2A");
    expect(["4f2", "ID-1", "1.2.3", " "].map((text) => matches(one, { group: "all", text }))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(matches(one, { group: "attention", text: "" })).toBe(false);
  });

  it("offers what a state allows", () => {
    expect([canCancel(job("a", "running", 1)), canCancel(job("a", "done", 1))]).toEqual([true, false]);
    expect([canRetry(job("a", "set_aside", 1)), canRetry(job("a", "running", 1))]).toEqual([true, false]);
  });
});

describe("viewer", () => {
  const viewer = openViewer(grid, "window");

  it("opens in the middle, in the lung window", () => {
    expect(viewer).toMatchObject({
      place: { slice: 50, row: 32, column: 32 },
      window: { center: -600, width: 1500 },
      outlines: true,
    });
  });

  it("steps within the volume", () => {
    const last = viewerReducer(viewer, { type: "step", plane: "axial", by: 500 });
    expect(last.place.slice).toBe(99);
    expect(viewerReducer(viewer, { type: "step", plane: "sagittal", by: -2 }).place.column).toBe(30);
  });

  it("goes to a finding's widest slice and its centre", () => {
    const shown = viewerReducer(viewer, { type: "finding", finding: finding("N1", 20, 21) });
    expect(shown.place).toEqual({ slice: 20, row: 30, column: 41 });
    expect(shown.views).toEqual(viewer.views);
  });

  it("centres zoomed planes on a finding", () => {
    const zoomed = viewerReducer(viewer, { type: "view", plane: "axial", view: { zoom: 3, panX: 0, panY: 0 } });
    const shown = viewerReducer(zoomed, { type: "finding", finding: finding("N1", 20, 21) });
    expect(shown.views.axial.zoom).toBe(3);
    expect(shown.views.axial.panX).toBeCloseTo(((31.5 - 41) * 3) / 64);
  });

  it("resets window, zoom and ruler, not the place", () => {
    const moved = viewerReducer(viewerReducer(viewer, { type: "preset", preset: "bone" }), {
      type: "index",
      plane: "axial",
      index: 7,
    });
    expect(viewerReducer(moved, { type: "reset" })).toMatchObject({
      place: { slice: 7 },
      window: { width: 1500 },
      ruler: null,
    });
  });

  it("walks the findings round", () => {
    const findings = [finding("N1", 1, 2), finding("N2", 2, 3)];
    expect(neighbour(findings, null, 1)?.finding_id).toBe("N1");
    expect(neighbour(findings, null, -1)?.finding_id).toBe("N2");
    expect(neighbour(findings, "N2", 1)?.finding_id).toBe("N1");
    expect(neighbour([], null, 1)).toBeUndefined();
  });

  it("finds how far each label reaches", () => {
    const planes = new Map([
      [3, new Uint16Array([0, 1])],
      [4, new Uint16Array([1, 2])],
      [6, new Uint16Array([2, 2])],
    ]);
    const extents = labelExtents([3, 4, 5, 6], (index) => planes.get(index));
    expect([...extents]).toEqual([
      [1, [3, 4]],
      [2, [4, 6]],
    ]);
  });
});

describe("numbers of slices", () => {
  it("run against the slices where the report says so", () => {
    expect(sliceNumbers(120, [finding("N1", 56, 64)]).numberOf(56)).toBe(64);
    expect(sliceNumbers(120, [finding("N1", 56, 57)]).numberOf(56)).toBe(57);
    expect(sliceNumbers(120, []).numberOf(0)).toBe(1);
  });

  it("are read from the head down", () => {
    expect(readingStep(grid, "axial")).toBe(-1);
    expect(readingStep({ ...grid, direction: [[0, 0, -1]] }, "axial")).toBe(1);
    expect(readingStep(grid, "coronal")).toBe(1);
  });
});

describe("lanes", () => {
  it("puts beside one another what overlaps", () => {
    const spans = [
      { from: 0, to: 10 },
      { from: 5, to: 8 },
      { from: 10, to: 12 },
      { from: 6, to: 7 },
    ];
    expect(arrangeLanes(spans, 3)).toEqual([0, 1, 0, 2]);
  });

  it("shares a lane where there are too few", () => {
    expect(
      arrangeLanes(
        [
          { from: 0, to: 9 },
          { from: 1, to: 5 },
          { from: 2, to: 4 },
        ],
        2,
      ),
    ).toEqual([0, 1, 1]);
  });
});

describe("address", () => {
  it.each([
    { name: "worklist" } as const,
    { name: "archive" } as const,
    { name: "audit", jobId: null } as const,
    { name: "audit", jobId: "0b8f" } as const,
    { name: "study", jobId: "0b8f", findingId: null } as const,
    { name: "study", jobId: "a b/c", findingId: "N1" } as const,
  ])("leads back to %o", (route) => {
    expect(readRoute(writeRoute(route))).toEqual(route);
  });

  it.each(["", "#", "#/nowhere", "#/studies/", "#/studies/%zz"])("takes %j for the work list", (hash) => {
    expect(readRoute(hash)).toEqual({ name: "worklist" });
  });
});

describe("preferences", () => {
  it("follow the browser's language, and are dark, until one chooses", () => {
    expect(readPreferences(null, ["zh-CN", "en"])).toEqual({ language: "zh", theme: "dark" });
    expect(readPreferences(null, ["de"])).toEqual({ language: "en", theme: "dark" });
    expect(readPreferences('{"language":"en","theme":"light"}', ["zh"])).toEqual({ language: "en", theme: "light" });
  });

  it.each(["{", "null", "3", '{"language":"xx"}'])("make do with anything stored: %s", (stored) => {
    expect(readPreferences(stored, [])).toEqual({ language: "en", theme: "dark" });
  });
});

describe("whether the end of a job was told", () => {
  const told_at = "2026-01-01T00:00:00Z";
  it.each([
    [null, null],
    [{ tries: 1 }, null], // the first try may be under way
    [{ tries: 2 }, "waiting"],
    [{ tries: 9, given_up_at: told_at }, "givenUp"],
    [{ tries: 9, told_at }, null],
  ])("%j: %s", (notice, how) => {
    expect(untold(v.parse(JobSchema, { ...job("a", "done", 0), notice }))).toBe(how);
  });
});
