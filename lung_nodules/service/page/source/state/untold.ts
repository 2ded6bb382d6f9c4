/** Whether the end of a job has reached the webhook's receiver. */

import type { Job } from "../api/schemas";

export type Untold = "waiting" | "givenUp";

/** What is wrong with telling it; null where it was told, or where no try has failed. */
export function untold({ notice }: Pick<Job, "notice">): Untold | null {
  if (notice === null || notice.told_at !== null) return null;
  if (notice.given_up_at !== null) return "givenUp";
  return notice.tries > 1 ? "waiting" : null; // the first one may be under way
}
