// Read marks: shown at once, told to the service after a while, or when the page goes.

import type { Api } from './api.js';
import { type Entries, ignoreProblem } from './entries.js';
import { withRead } from './entry.js';
import { ChatProblem } from './problem.js';
import type { Unread } from './types.js';

const DELAY_MS = 2_000;
const AGAIN_MS = 20_000;

export class Reads {
  readonly #waiting = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly api: Api,
    private readonly entries: Entries,
    private readonly onTotals: (unread: Unread) => void,
  ) {}

  /** Read up to `seq`. */
  mark(id: string, seq: number): void {
    const { view, reading } = this.entries.get(id);
    if (view === null) return;
    const upTo = Math.min(seq, view.lastSeq); // what is not there yet is not read
    if (upTo <= Math.max(view.lastReadSeq, reading)) return;
    this.entries.update(id, (each) => ({ ...each, reading: upTo }));
    this.#waiting.set(id, upTo);
    this.#timer ??= setTimeout(() => void this.flush(), DELAY_MS);
  }

  /** Tells what waits; `keepalive`: although the page goes. */
  async flush(keepalive = false): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const marks = [...this.#waiting];
    this.#waiting.clear();
    await Promise.all(marks.map(([id, seq]) => this.#tell(id, seq, keepalive).catch(ignoreProblem)));
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting.clear();
  }

  async #tell(id: string, seq: number, keepalive: boolean): Promise<void> {
    try {
      const mark = await this.api.read(id, seq, keepalive);
      this.entries.update(id, (entry) =>
        entry.view === null ? entry : withRead(entry, mark.lastReadSeq, this.entries.me),
      );
      this.onTotals(mark.unread);
    } catch (error) {
      if (error instanceof ChatProblem && !error.retryable) {
        this.entries.update(id, (entry) => (entry.reading === seq ? { ...entry, reading: 0 } : entry));
      } else if (this.entries.get(id).reading === seq) {
        // Told again: soon, or with the next welcome.
        this.#waiting.set(id, seq);
        if (!this.entries.stopped) this.#timer ??= setTimeout(() => void this.flush(), AGAIN_MS);
      }
      throw error;
    }
  }
}
