/** Who one is to the service: how it asks, and the token that goes with each request. Nothing of it is stored. */

import * as v from "valibot";
import { addressOf } from "./address";
import { SignInWaySchema, type SignInWay } from "./desk_schemas";
import type { Issuer } from "./issuer";
import { Problem, readProblem } from "./problem";

export type SessionState =
  | { readonly at: "opening" }
  | { readonly at: "unreachable"; readonly problem: Error }
  | { readonly at: "out"; readonly way: SignInWay; readonly problem: Error | null }
  | { readonly at: "in"; readonly way: SignInWay };

const ENDED = ["no-token", "token-expired"]; // what a token that could not be renewed comes to

class Session {
  #state: SessionState = { at: "opening" };
  #pasted: string | null = null;
  #issuer: Issuer | null = null;
  readonly #listeners = new Set<() => void>();

  readonly state = (): SessionState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** Learn how the service asks who one is, and whether that is known already. */
  async open(): Promise<void> {
    this.#become({ at: "opening" });
    try {
      const way = await getSignInWay();
      if (way.mode === "none") this.#become({ at: "in", way });
      else if (way.mode === "oidc" && way.issuer && way.client_id) await this.#arrive(way, way.issuer, way.client_id);
      else this.#become({ at: "out", way, problem: null });
    } catch (problem) {
      this.#become({ at: "unreachable", problem: asError(problem) });
    }
  }

  async token(): Promise<string | null> {
    return this.#issuer ? this.#issuer.token() : this.#pasted;
  }

  /** Another token, where there is one to be had without a question to the reader. */
  async renew(): Promise<boolean> {
    return (await this.#issuer?.renew()) ?? false;
  }

  /** The service has taken no token: whoever reads must sign in. */
  refuse(problem: Problem): void {
    if (this.#state.at !== "in" || this.#state.way.mode === "none") return;
    this.#pasted = null;
    const isOver = this.#issuer !== null && ENDED.includes(problem.code);
    this.#become({
      at: "out",
      way: this.#state.way,
      problem: isOver ? new Problem(401, "session-ended", "") : problem,
    });
  }

  async signIn(): Promise<void> {
    await this.#issuer?.signIn();
  }

  paste(token: string): void {
    if (this.#state.at !== "out") return;
    this.#pasted = token;
    this.#become({ at: "in", way: this.#state.way });
  }

  /** Leave here at once, and at the provider; a session that goes on there, or may, is told on the way in. */
  async signOut(): Promise<void> {
    if (this.#state.at !== "in") return;
    const { way } = this.#state;
    this.#pasted = null;
    this.#become({ at: "out", way, problem: null });
    try {
      const isOver = (await this.#issuer?.signOut()) ?? true;
      if (!isOver) this.#become({ at: "out", way, problem: new Problem(0, "session-goes-on", "") });
    } catch (error) {
      this.#become({ at: "out", way, problem: new Problem(0, "session-may-be-open", asError(error).message) });
    }
  }

  async #arrive(way: SignInWay, issuer: string, client_id: string): Promise<void> {
    const { Issuer } = await import("./issuer"); // only a page that signs in by itself loads it
    this.#issuer = new Issuer({ issuer, client_id, scope: way.scope });
    try {
      const isIn = await this.#issuer.arrive();
      if (isIn !== null) this.#become(isIn ? { at: "in", way } : { at: "out", way, problem: null });
    } catch (error) {
      this.#become({ at: "out", way, problem: new Problem(0, "sign-in-failed", asError(error).message) });
    }
  }

  #become(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

export const session = new Session();

async function getSignInWay(): Promise<SignInWay> {
  let response: Response;
  try {
    response = await fetch(addressOf("sign-in"));
  } catch {
    throw new Problem(0, "unreachable", "");
  }
  if (!response.ok) throw readProblem(response.status, await response.text(), response.headers.get("Retry-After"));
  const parsed = v.safeParse(SignInWaySchema, await response.json());
  if (!parsed.success) throw new Problem(response.status, "unexpected-answer", "");
  return parsed.output;
}

function asError(problem: unknown): Error {
  return problem instanceof Error ? problem : new Error(String(problem));
}
