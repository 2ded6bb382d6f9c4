/** Jobs as they change, by the service's events. */

import * as v from "valibot";
import { EventParser, pauseMs, SILENCE_MS } from "./events";
import { Problem } from "./problem";
import { send } from "./request";
import * as schemas from "./schemas";

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
  const path = jobId === null ? "events" : `jobs/${encodeURIComponent(jobId)}/events`;
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
