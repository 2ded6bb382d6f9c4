/** A search of an archive: what is asked, and what was found so far. */

import type { StudySearch } from "../api/client";
import type { FoundStudy } from "../api/desk_schemas";
import { asPattern } from "./person_name";

/** The fields of the form, as they are typed. */
export interface Fields {
  readonly name: string;
  readonly patientId: string;
  readonly accession: string;
  readonly description: string;
  readonly firstDate: string; // YYYY-MM-DD
  readonly lastDate: string;
  readonly modality: string;
}

export interface Search {
  readonly archive: string;
  readonly fields: Fields;
  readonly asked: StudySearch; // of the studies that are shown
  readonly studies: readonly FoundStudy[]; // newest first
  readonly jobs: ReadonlyMap<string, string>; // by Study Instance UID: what was submitted from here
  readonly cursor: string | null;
  readonly isCut: boolean;
  readonly loading: boolean;
  readonly loaded: boolean;
  readonly problem: Error | null;
}

export type SearchAction =
  | { readonly type: "ask"; readonly archive?: string; readonly fields?: Partial<Fields> }
  | { readonly type: "load"; readonly first: boolean }
  | {
      readonly type: "page";
      readonly page: {
        readonly studies: readonly FoundStudy[];
        readonly next_cursor: string | null;
        readonly is_cut: boolean;
      };
    }
  | { readonly type: "problem"; readonly problem: Error }
  | { readonly type: "submitted"; readonly uid: string; readonly jobId: string };

export const NO_FIELDS: Fields = {
  name: "",
  patientId: "",
  accession: "",
  description: "",
  firstDate: "",
  lastDate: "",
  modality: "CT",
};

export const EMPTY_SEARCH: Search = {
  archive: "",
  fields: NO_FIELDS,
  asked: queryOf(NO_FIELDS),
  studies: [],
  jobs: new Map(),
  cursor: null,
  isCut: false,
  loading: false,
  loaded: false,
  problem: null,
};

export function searchReducer(search: Search, action: SearchAction): Search {
  switch (action.type) {
    case "ask": {
      const fields = { ...search.fields, ...action.fields };
      return { ...search, archive: action.archive ?? search.archive, fields, asked: queryOf(fields), ...FRESH };
    }
    case "load":
      return { ...search, ...(action.first ? FRESH : {}), loading: true, problem: null };
    case "page": {
      const studies = [...search.studies, ...action.page.studies];
      const { next_cursor, is_cut } = action.page;
      return { ...search, studies, cursor: next_cursor, isCut: is_cut, loading: false, loaded: true };
    }
    case "problem":
      return { ...search, loading: false, problem: action.problem };
    case "submitted":
      return { ...search, jobs: new Map(search.jobs).set(action.uid, action.jobId) };
  }
}

/** What was found goes with what was asked: nobody takes old matches for those of a new question. */
const FRESH = { studies: [], cursor: null, isCut: false, loaded: false, loading: false, problem: null } as const;

/** The service's query for what was typed; what is empty does not narrow. */
export function queryOf(fields: Fields): StudySearch {
  const given: [keyof StudySearch, string][] = [
    ["patient_name", asPattern(fields.name)],
    ["patient_id", fields.patientId.trim()],
    ["accession_number", fields.accession.trim()],
    ["description", asPattern(fields.description)],
    ["first_date", fields.firstDate],
    ["last_date", fields.lastDate],
  ];
  return { modality: fields.modality, ...Object.fromEntries(given.filter(([, value]) => value !== "")) };
}
