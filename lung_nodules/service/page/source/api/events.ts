/**
 * Server-sent events read from a stream.
 *
 * Our own in place of EventSource, which cannot send the Authorization header that a service with sign-in asks for.
 */

export interface ServerEvent {
  readonly event: string;
  readonly data: string;
}

/** Takes text as it arrives, in pieces of any size, and gives the events that are complete. */
export class EventParser {
  #rest = "";
  #event = "";
  #data: string[] = [];

  push(text: string): ServerEvent[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.flatMap((line) => this.#take(line));
  }

  #take(line: string): ServerEvent[] {
    if (line === "") return this.#complete();
    const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "event") this.#event = value;
    if (field === "data") this.#data.push(value);
    return [];
  }

  #complete(): ServerEvent[] {
    const found = this.#data.length > 0 ? [{ event: this.#event || "message", data: this.#data.join("\n") }] : [];
    this.#event = "";
    this.#data = [];
    return found;
  }
}

/** Pause before try `count` (from 0) to connect again: doubled each time, half a minute at most. */
export function pauseMs(count: number): number {
  return Math.min(30_000, 500 * 2 ** Math.min(count, 10));
}

/** How long a stream may be silent before it is taken for dead; the service sends heartbeats more often. */
export const SILENCE_MS = 45_000;
