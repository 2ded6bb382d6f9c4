import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { JobSchema, type Job } from "../source/api/schemas";
import { asPattern, personName } from "../source/state/person_name";
import { EMPTY_SEARCH, NO_FIELDS, queryOf, searchReducer, type Search } from "../source/state/search";
import { canDelete, canReorder, EMPTY, worklistReducer } from "../source/state/worklist";

const job = (id: string, state: Job["state"]): Job =>
  v.parse(JobSchema, {
    id,
    label: id,
    state,
    source: { kind: "upload" },
    priority: 0,
    submitted_by: "olga",
    created_at: "2026-01-01T00:00:00Z",
  });

describe("names of persons", () => {
  it.each([
    ["Doe^Jane", "Doe, Jane"],
    ["Doe^Jane^M^Dr", "Doe, Jane M Dr"],
    ["Doe", "Doe"],
    ["^Jane", "Jane"],
    ["Wang^XiaoDong=王^小东", "Wang, XiaoDong · 王小东"],
    ["=王^小东", "王小东"],
    ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou · 山田太郎"],
    ["", ""],
  ])("%j is read as %j", (text, name) => expect(personName(text)).toBe(name));

  it.each([
    ["doe", "*doe*"],
    [" doe,  jane ", "*doe*jane*"],
    ["Doe^Jane", "*Doe*Jane*"],
    ["doe*", "doe*"],
    ["d?e", "d?e"],
    ["  ", ""],
  ])("%j finds by %j", (typed, pattern) => expect(asPattern(typed)).toBe(pattern));
});

describe("search of an archive", () => {
  const study = (uid: string) => ({
    study_instance_uid: uid,
    study_date: null,
    modalities: [],
    description: "",
    num_series: null,
    num_instances: null,
    patient_id: "",
    patient_name: "",
    accession_number: "",
  });
  const page = (uids: string[], cursor: string | null = null) => ({
    type: "page" as const,
    page: { studies: uids.map(study), next_cursor: cursor, is_cut: false },
  });
  const uids = (search: Search) => search.studies.map((found) => found.study_instance_uid);

  it("asks for what was typed and nothing else", () => {
    expect(queryOf(NO_FIELDS)).toEqual({ modality: "CT" });
    expect(queryOf({ ...NO_FIELDS, name: "doe", patientId: " P-1 ", firstDate: "2024-01-02", modality: "" })).toEqual({
      modality: "",
      patient_name: "*doe*",
      patient_id: "P-1",
      first_date: "2024-01-02",
    });
  });

  it("adds pages, and forgets what another question has found", () => {
    let search = searchReducer(EMPTY_SEARCH, { type: "load", first: true });
    search = searchReducer(search, page(["1", "2"], "next"));
    search = searchReducer(search, { type: "load", first: false });
    expect(uids(search)).toEqual(["1", "2"]);
    search = searchReducer(search, page(["3"]));
    expect([uids(search), search.cursor]).toEqual([["1", "2", "3"], null]);
    expect(uids(searchReducer(search, { type: "load", first: true }))).toEqual([]);
    search = searchReducer(search, { type: "ask", fields: { name: "roe" } });
    expect([uids(search), search.loaded, search.asked.patient_name]).toEqual([[], false, "*roe*"]);
  });

  it("remembers what was submitted", () => {
    const search = searchReducer(EMPTY_SEARCH, { type: "submitted", uid: "1", jobId: "a" });
    expect(search.jobs.get("1")).toBe("a");
  });
});

describe("what changes a job", () => {
  const me = (role: string, name = "olga") => ({ name, role });

  it("is a choice of priority where the service takes one", () => {
    expect(canReorder(job("a", "queued"), me("operator"))).toBe(true);
    expect(canReorder(job("a", "queued"), me("operator", "oleg"))).toBe(false);
    expect(canReorder(job("a", "queued"), me("admin", "ada"))).toBe(true);
    expect(canReorder(job("a", "queued"), me("viewer"))).toBe(false);
    expect(canReorder(job("a", "running"), me("admin"))).toBe(false);
    expect(canReorder(job("a", "queued"), null)).toBe(false);
  });

  it("is a deletion where the service takes one", () => {
    expect(canDelete(job("a", "done"), me("admin"))).toBe(true);
    expect(canDelete(job("a", "queued"), me("admin"))).toBe(false);
    expect(canDelete(job("a", "done"), me("operator"))).toBe(false);
  });

  it("takes a deleted job from the list", () => {
    const list = { ...EMPTY, jobs: [job("a", "done"), job("b", "done")] };
    expect(worklistReducer(list, { type: "gone", id: "a" }).jobs.map(({ id }) => id)).toEqual(["b"]);
  });
});
