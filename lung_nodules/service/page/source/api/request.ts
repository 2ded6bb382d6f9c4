/** Requests of the service's API, each with the reader's token. */

import * as v from "valibot";
import { addressOf } from "./address";
import { Problem, readProblem } from "./problem";
import { session } from "./session";

/** The header that says who one is; none where the service does not ask. */
export async function authorization(): Promise<Record<string, string>> {
  const token = await session.token();
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/** Send a request; one whose token has ended meanwhile once more with another. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response = await sendOnce(path, init);
  if (response.status === 401 && (await session.renew())) response = await sendOnce(path, init);
  if (response.ok) return response;
  const problem = readProblem(response.status, await response.text(), response.headers.get("Retry-After"));
  if (response.status === 401) session.refuse(problem);
  throw problem;
}

async function sendOnce(path: string, init: RequestInit): Promise<Response> {
  const headers = { ...(await authorization()), ...(init.headers as Record<string, string> | undefined) };
  try {
    return await fetch(addressOf(path), { ...init, headers });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "");
  }
}

/** Send a request, and check what comes back. */
export async function read<T extends v.GenericSchema>(
  path: string,
  schema: T,
  init?: RequestInit,
): Promise<v.InferOutput<T>> {
  const response = await send(path, init);
  const parsed = v.safeParse(schema, await response.json());
  if (!parsed.success) throw new Problem(response.status, "unexpected-answer", "");
  return parsed.output;
}

export function asJson(method: string, body: unknown): RequestInit {
  return { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}
