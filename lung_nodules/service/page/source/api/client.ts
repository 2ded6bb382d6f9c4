/** The service's API, as functions. */

import * as v from "valibot";
import { decodeHu, decodeLabels } from "../image/pixels";
import { addressOf } from "./address";
import * as desk from "./desk_schemas";
import { Problem, readProblem } from "./problem";
import { asJson, authorization, read, send } from "./request";
import * as schemas from "./schemas";
import { session } from "./session";

const job = (id: string): string => `jobs/${encodeURIComponent(id)}`;

export interface JobFilter {
  readonly states: readonly schemas.JobState[];
  readonly text: string;
  readonly cursor?: string | null;
}

export const listJobs = ({ states, text, cursor }: JobFilter, signal: AbortSignal): Promise<schemas.JobPage> => {
  const query = new URLSearchParams({ limit: "50" });
  for (const state of states) query.append("state", state);
  if (text) query.set("q", text);
  if (cursor) query.set("cursor", cursor);
  return read(`jobs?${query.toString()}`, schemas.JobPageSchema, { signal });
};

export const getJob = (id: string): Promise<schemas.Job> => read(job(id), schemas.JobSchema);
export const cancelJob = (id: string) => send(`${job(id)}/cancel`, { method: "POST" });
export const retryJob = (id: string) => send(`${job(id)}/retry`, { method: "POST" });
export const deleteJob = (id: string) => send(job(id), { method: "DELETE" });
export const setPriority = (id: string, priority: number) => send(`${job(id)}/priority`, asJson("PUT", { priority }));
export const getReport = (id: string) => read(`${job(id)}/report`, schemas.ReportSchema);
export const listFiles = (id: string) => read(`${job(id)}/files`, schemas.FilesSchema);
export const getSlices = (id: string) => read(`${job(id)}/slices`, schemas.SlicesSchema);
export const listReviews = (id: string) => read(`${job(id)}/reviews`, schemas.ReviewsSchema);
export const listArchives = () => read("archives", desk.ArchivesSchema);
export const getMe = () => read("me", schemas.MeSchema);
export const getPageSettings = () => read("settings/page", schemas.PageSettingsSchema);

/** Whose studies jobs have read; at most a hundred jobs at a time. */
export const listStudies = (jobIds: readonly string[]) =>
  read(`studies?${new URLSearchParams(jobIds.map((id) => ["job_id", id])).toString()}`, desk.StudiesOfJobsSchema);

export interface StudySearch {
  readonly patient_name?: string;
  readonly patient_id?: string;
  readonly accession_number?: string;
  readonly description?: string;
  readonly modality: string;
  readonly first_date?: string;
  readonly last_date?: string;
  readonly cursor?: string;
}

/** What is sought stands in the body, because addresses end in logs. */
export const findStudies = (archive: string, search: StudySearch, signal: AbortSignal) =>
  read(`archives/${encodeURIComponent(archive)}/search`, desk.FoundPageSchema, { ...asJson("POST", search), signal });

export interface AuditFilter {
  readonly actor?: string;
  readonly action?: string;
  readonly job_id?: string;
  readonly after?: string;
  readonly before?: string;
  readonly cursor?: number;
}

export const readAudit = (filter: AuditFilter, signal: AbortSignal) =>
  read(`audit?${queryOf({ ...filter })}`, desk.AuditPageSchema, { signal });

function queryOf(values: Readonly<Record<string, string | number>>): string {
  return new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)])).toString();
}

export async function getHu(id: string, index: number, numPixels: number, signal: AbortSignal): Promise<Int16Array> {
  return decodeHu(await (await send(`${job(id)}/slices/${index}`, { signal })).arrayBuffer(), numPixels);
}

export async function getLabels(
  id: string,
  index: number,
  numPixels: number,
  signal: AbortSignal,
): Promise<Uint16Array> {
  return decodeLabels(await (await send(`${job(id)}/labels/${index}`, { signal })).arrayBuffer(), numPixels);
}

export const submitStudy = (order: { study_instance_uid: string; archive?: string; priority: number }) =>
  read("studies", schemas.JobSchema, asJson("POST", order));

export interface ReviewOrder {
  readonly verdict: schemas.Verdict;
  readonly comment: string;
  readonly diameter_mm?: number;
  readonly suspicion?: number;
  readonly result_uid: string; // of the report that is shown
}

export const putReview = (id: string, findingId: string, review: ReviewOrder) =>
  send(`${job(id)}/findings/${encodeURIComponent(findingId)}/review`, asJson("PUT", review));

/**
 * Send files. XMLHttpRequest, because fetch does not tell how much of a body has gone out.
 *
 * @param progress Called with the share that was sent, 0 to 1.
 */
export async function uploadFiles(
  files: readonly File[],
  priority: number,
  progress: (share: number) => void,
  signal: AbortSignal,
): Promise<schemas.Job> {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  const headers = await authorization();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", addressOf(`uploads?priority=${priority}`));
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status >= 400) {
        const pause = request.getResponseHeader("Retry-After");
        const problem = readProblem(request.status, request.responseText, pause);
        if (request.status === 401) session.refuse(problem);
        reject(problem);
        return;
      }
      try {
        resolve(v.parse(schemas.JobSchema, JSON.parse(request.responseText)));
      } catch {
        reject(new Problem(request.status, "unexpected-answer", ""));
      }
    };
    request.onerror = () => reject(new Problem(0, "unreachable", ""));
    request.onabort = () => reject(new DOMException("aborted", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Save a resource as a file. A link does where nobody need sign in; with a token it must be fetched first. */
export async function download(path: string, name: string): Promise<void> {
  const blob = await (await send(path)).blob();
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
