/** Names of priorities and sources. */

import type { Job } from "../api/schemas";
import type { Words } from "../words/dictionary";

export type PriorityName = keyof Words["priorities"];

export const PRIORITIES: Readonly<Record<PriorityName, number>> = { background: -10, routine: 0, urgent: 10, stat: 20 };
export const PRIORITY_NAMES: readonly PriorityName[] = ["background", "routine", "urgent", "stat"];

/** The named priority at or below a number. */
export function priorityName(priority: number): PriorityName {
  return PRIORITY_NAMES.findLast((name) => PRIORITIES[name] <= priority) ?? "background";
}

export function sourceName(job: Job, words: Words): string {
  const { kind, archive } = job.source;
  if (kind === "archive") return archive ?? "";
  return kind === "upload" ? words.worklist.upload : words.worklist.folder;
}
