/** The slices of one study as they arrive: the ones nearest to where the reader is come first. */

export interface SliceStoreOptions<T> {
  readonly indices: readonly number[]; // slices that there are
  readonly load: (index: number, signal: AbortSignal) => Promise<T>;
  readonly bytesPerSlice: number;
  readonly budgetBytes: number; // kept at most; the farthest from the reader go first
  readonly parallel?: number;
  readonly retries?: number;
}

/** Order in which slices are wanted: by distance from a slice, the next one before the one before. */
export function byDistance(indices: Iterable<number>, from: number): number[] {
  const distance = (index: number): number => Math.abs(index - from) * 2 - (index > from ? 1 : 0);
  return [...indices].sort((a, b) => distance(a) - distance(b));
}

export class SliceStore<T> {
  readonly #options: SliceStoreOptions<T>;
  readonly #slices = new Map<number, T>();
  readonly #failures = new Map<number, number>();
  readonly #underWay = new Set<number>();
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  #from = 0;
  #version = 0;
  #reader: (index: number) => T | undefined = (index) => this.#slices.get(index);

  constructor(options: SliceStoreOptions<T>) {
    this.#options = options;
  }

  /** Changes whenever a slice has arrived or was given up. */
  get version(): number {
    return this.#version;
  }

  /** Reads slices; another function whenever `version` changes, so that it can tell that there is something new. */
  get reader(): (index: number) => T | undefined {
    return this.#reader;
  }

  get numHeld(): number {
    return this.#slices.size;
  }

  get numWanted(): number {
    return Math.min(this.#options.indices.length, this.#capacity());
  }

  /** Whether the whole study fits, so that planes across the slices can be cut. */
  get holdsAll(): boolean {
    return this.#options.indices.length <= this.#capacity();
  }

  /** Slices that could not be loaded, however often they were asked for. */
  get numFailed(): number {
    return [...this.#failures.values()].filter((count) => count > this.#retries()).length;
  }

  get = (index: number): T | undefined => this.#slices.get(index);

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** Say where the reader is; loading goes on from there. */
  focus(index: number): void {
    this.#from = index;
    this.#fill();
  }

  /** Stop loading and forget everything. */
  dispose(): void {
    this.#abort.abort();
    this.#slices.clear();
    this.#listeners.clear();
  }

  #capacity(): number {
    return Math.max(16, Math.floor(this.#options.budgetBytes / this.#options.bytesPerSlice));
  }

  #retries(): number {
    return this.#options.retries ?? 2;
  }

  #wanted(): number[] {
    return byDistance(this.#options.indices, this.#from).slice(0, this.#capacity());
  }

  #fill(): void {
    if (this.#abort.signal.aborted) return;
    for (const index of this.#wanted()) {
      if (this.#underWay.size >= (this.#options.parallel ?? 6)) return;
      if (this.#slices.has(index) || this.#underWay.has(index)) continue;
      if ((this.#failures.get(index) ?? 0) > this.#retries()) continue;
      void this.#load(index);
    }
  }

  async #load(index: number): Promise<void> {
    this.#underWay.add(index);
    try {
      const slice = await this.#options.load(index, this.#abort.signal);
      if (this.#abort.signal.aborted) return;
      this.#slices.set(index, slice);
      this.#evict();
    } catch {
      this.#failures.set(index, (this.#failures.get(index) ?? 0) + 1);
    } finally {
      this.#underWay.delete(index);
    }
    this.#version += 1;
    this.#reader = (asked) => this.#slices.get(asked);
    for (const listener of this.#listeners) listener();
    this.#fill();
  }

  #evict(): void {
    const excess = this.#slices.size - this.#capacity();
    if (excess <= 0) return;
    for (const index of byDistance(this.#slices.keys(), this.#from).slice(-excess)) this.#slices.delete(index);
  }
}
