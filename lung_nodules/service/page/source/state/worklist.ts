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
  readonly news: ReadonlyMap<string, Job>; // heard of while a page was on its way: newer than what the page says
}

export type WorklistAction =
  | { readonly type: "filter"; readonly group?: Group; readonly text?: string }
  | { readonly type: "load" }
  | { readonly type: "page"; readonly page: JobPage; readonly first: boolean }
  | { readonly type: "problem"; readonly problem: Error }
  | { readonly type: "job"; readonly job: Job }
  | { readonly type: "gone"; readonly id: string };

export const EMPTY: Worklist = {
  group: "all",
  text: "",
  jobs: [],
  cursor: null,
  loading: true,
  loaded: false,
  problem: null,
  news: new Map(),
};

export function worklistReducer(list: Worklist, action: WorklistAction): Worklist {
  switch (action.type) {
    case "filter":
      return { ...EMPTY, group: action.group ?? list.group, text: action.text ?? list.text };
    case "load":
      return { ...list, loading: true, problem: null, news: new Map() };
    case "page":
      return takePage(list, action.page, action.first);
    case "problem":
      return { ...list, loading: false, problem: action.problem };
    case "job": {
      const news = list.loading ? new Map(list.news).set(action.job.id, action.job) : list.news;
      return { ...list, news, jobs: merge(list.jobs, [action.job]).filter((job) => matches(job, list)) };
    }
    case "gone":
      return { ...list, jobs: list.jobs.filter((job) => job.id !== action.id) };
  }
}

/** A first page replaces what it covers, a next one is added; what was heard of meanwhile is newer than either. */
function takePage(list: Worklist, page: JobPage, first: boolean): Worklist {
  const end = page.jobs.at(-1);
  const isBeyond = (job: Job): boolean => end !== undefined && page.next_cursor !== null && isOlder(job, end);
  const known = first ? list.jobs.filter(isBeyond) : list.jobs;
  const jobs = merge(merge(known, page.jobs), [...list.news.values()]).filter((job) => matches(job, list));
  const cursor = first && known.length > 0 ? list.cursor : page.next_cursor;
  return { ...list, jobs, cursor, loading: false, loaded: true, problem: null, news: new Map() };
}

function isOlder(job: Job, other: Job): boolean {
  return Date.parse(job.created_at) < Date.parse(other.created_at);
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

/** Whether a reader may let a job go sooner or later; the service judges alike. */
export function canReorder(job: Job, me: { readonly name: string; readonly role: string } | null): boolean {
  if (me === null || job.state !== "queued") return false;
  return me.role === "admin" || (me.role === "operator" && job.submitted_by === me.name);
}

export function canDelete(job: Job, me: { readonly role: string } | null): boolean {
  return me?.role === "admin" && job.state !== "queued" && job.state !== "running";
}
