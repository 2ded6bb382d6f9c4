/** The work list: what was read page by page, kept up to date by the service's events. */

import type { Job, JobPage, JobState } from "../api/schemas";

export type Group = "all" | "waiting" | "running" | "read" | "attention";
export const GROUPS: readonly Group[] = ["all", "waiting", "running", "read", "attention"];

/** States that a group shows; none stands for all. */
export const STATES_OF: Readonly<Record<Group, readonly JobState[]>> = {
  all: [],
  waiting: ["queued"],
  running: ["running"],
  read: ["done"],
  attention: ["refused", "failed", "set_aside"],
};

export interface Worklist {
  readonly group: Group;
  readonly text: string;
  readonly jobs: readonly Job[]; // newest first
  readonly cursor: string | null; // of the next page
  readonly loading: boolean;
  readonly loaded: boolean; // whether the first page has come
  readonly problem: Error | null;
}

export type WorklistAction =
  | { readonly type: "filter"; readonly group?: Group; readonly text?: string }
  | { readonly type: "load" }
  | { readonly type: "page"; readonly page: JobPage; readonly first: boolean }
  | { readonly type: "problem"; readonly problem: Error }
  | { readonly type: "job"; readonly job: Job }
  | { readonly type: "remove"; readonly jobId: string };

export const EMPTY: Worklist = {
  group: "all",
  text: "",
  jobs: [],
  cursor: null,
  loading: true,
  loaded: false,
  problem: null,
};

export function worklistReducer(list: Worklist, action: WorklistAction): Worklist {
  switch (action.type) {
    case "filter":
      return { ...EMPTY, group: action.group ?? list.group, text: action.text ?? list.text };
    case "load":
      return { ...list, loading: true, problem: null };
    case "page": {
      const known = action.first ? [] : list.jobs;
      const jobs = merge(known, action.page.jobs);
      return { ...list, jobs, cursor: action.page.next_cursor, loading: false, loaded: true, problem: null };
    }
    case "problem":
      return { ...list, loading: false, problem: action.problem };
    case "job":
      return { ...list, jobs: merge(list.jobs, [action.job]).filter((job) => matches(job, list)) };
    case "remove":
      return { ...list, jobs: list.jobs.filter((job) => job.id !== action.jobId) };
  }
}

/** Whether a job belongs into the list as it is filtered; the service judges alike. */
export function matches(job: Job, { group, text }: Pick<Worklist, "group" | "text">): boolean {
  const states = STATES_OF[group];
  if (states.length > 0 && !states.includes(job.state)) return false;
  const sought = text.trim().toLowerCase();
  const places = [job.label, job.id, job.source.study_instance_uid ?? ""];
  return sought === "" || places.some((place) => place.toLowerCase().includes(sought));
}

/** New pictures of jobs replace old ones in place; new jobs go where their time says. */
function merge(old: readonly Job[], fresh: readonly Job[]): Job[] {
  const byId = new Map(old.map((job) => [job.id, job]));
  for (const job of fresh) byId.set(job.id, job);
  return [...byId.values()].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
}

export function canCancel(job: Job): boolean {
  return (job.state === "queued" || job.state === "running") && !job.cancel_requested;
}

export function canRetry(job: Job): boolean {
  return ["refused", "failed", "set_aside", "cancelled"].includes(job.state);
}
