/** The service's API, as functions. */

import * as v from "valibot";
import { decodeHu, decodeLabels } from "../image/pixels";
import { EventParser, pauseMs, SILENCE_MS } from "./events";
import { Problem, readProblem } from "./problem";
import * as schemas from "./schemas";

const TOKEN_KEY = "lung-nodules.token";

/** A token lives as long as the tab; null where the service does not ask for one. */
export function readToken(): string | null {
  return sessionStorage.getItem(TOKEN_KEY);
}

export function keepToken(token: string | null): void {
  if (token) sessionStorage.setItem(TOKEN_KEY, token);
  else sessionStorage.removeItem(TOKEN_KEY);
}

/** Address of a resource under `v1/`, beside this page wherever it is served. */
export function addressOf(path: string): string {
  return new URL(`v1/${path}`, document.baseURI).href;
}

function authorization(): Record<string, string> {
  const token = readToken();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(addressOf(path), {
      ...init,
      headers: { ...authorization(), ...(init.headers as Record<string, string> | undefined) },
    });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "");
  }
  if (!response.ok) {
    throw readProblem(response.status, await response.text(), response.headers.get("Retry-After"));
  }
  return response;
}

async function read<T extends v.GenericSchema>(path: string, schema: T, init?: RequestInit): Promise<v.InferOutput<T>> {
  const response = await send(path, init);
  const parsed = v.safeParse(schema, await response.json());
  if (!parsed.success) throw new Problem(response.status, "unexpected-answer", "");
  return parsed.output;
}

function asJson(method: string, body: unknown): RequestInit {
  return { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

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
export const getReport = (id: string) => read(`${job(id)}/report`, schemas.ReportSchema);
export const listFiles = (id: string) => read(`${job(id)}/files`, schemas.FilesSchema);
export const getSlices = (id: string) => read(`${job(id)}/slices`, schemas.SlicesSchema);
export const listReviews = (id: string) => read(`${job(id)}/reviews`, schemas.ReviewsSchema);
export const listArchives = () => read("archives", schemas.ArchivesSchema);
export const getMe = () => read("me", schemas.MeSchema);
export const getPageSettings = () => read("settings/page", schemas.PageSettingsSchema);

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
}

export const putReview = (id: string, findingId: string, review: ReviewOrder) =>
  send(`${job(id)}/findings/${encodeURIComponent(findingId)}/review`, asJson("PUT", review));

/**
 * Send files. XMLHttpRequest, because fetch does not tell how much of a body has gone out.
 *
 * @param progress Called with the share that was sent, 0 to 1.
 */
export function uploadFiles(
  files: readonly File[],
  priority: number,
  progress: (share: number) => void,
  signal: AbortSignal,
): Promise<schemas.Job> {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", addressOf(`uploads?priority=${priority}`));
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status >= 400) {
        reject(readProblem(request.status, request.responseText, request.getResponseHeader("Retry-After")));
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

export type Connection = "connecting" | "live" | "lost";

/** Follow all jobs, or one, until the signal; connects again by itself and tells how it stands. */
export async function followJobs(
  jobId: string | null,
  onJob: (job: schemas.Job) => void,
  onConnection: (connection: Connection) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let count = 0; !signal.aborted; count += 1) {
    onConnection(count === 0 ? "connecting" : "lost");
    try {
      await readEvents(
        jobId,
        onJob,
        () => {
          count = 0;
          onConnection("live");
        },
        signal,
      );
    } catch (error) {
      if (error instanceof Problem && [401, 403, 404].includes(error.status)) return;
    }
    if (isAborted(signal)) return;
    await sleep(pauseMs(count), signal);
  }
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function readEvents(
  jobId: string | null,
  onJob: (job: schemas.Job) => void,
  onOpen: () => void,
  signal: AbortSignal,
): Promise<void> {
  const path = jobId === null ? "events" : `${job(jobId)}/events`;
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  const response = await send(path, { headers: { Accept: "text/event-stream" }, signal: either, cache: "no-store" });
  onOpen();
  const parser = new EventParser();
  const reader = (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()).getReader();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      for (const event of parser.push(value)) {
        const parsed = event.event === "job" ? v.safeParse(schemas.JobSchema, JSON.parse(event.data)) : null;
        if (parsed?.success) onJob(parsed.output);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
