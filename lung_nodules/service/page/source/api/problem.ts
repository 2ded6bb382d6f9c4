/** What went wrong with a request, as the service or the network says it. */

import * as v from "valibot";
import { ProblemSchema } from "./schemas";

export class Problem extends Error {
  readonly status: number; // 0: the service did not answer
  readonly code: string;
  readonly advice: string;
  readonly retryAfterS: number | null;

  constructor(status: number, code: string, sentence: string, advice = "", retryAfterS: number | null = null) {
    super(sentence);
    this.status = status;
    this.code = code;
    this.advice = advice;
    this.retryAfterS = retryAfterS;
  }
}

/** Read an answer with an error status, an RFC 9457 problem or not. */
export function readProblem(status: number, body: string, retryAfter: string | null): Problem {
  const pause = retryAfter !== null && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  const parsed = v.safeParse(ProblemSchema, parseJson(body));
  if (!parsed.success) return new Problem(status, `http-${status}`, "", "", pause);
  const { title, detail, code, advice } = parsed.output;
  return new Problem(status, code || `http-${status}`, detail || title, advice ?? "", pause);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
