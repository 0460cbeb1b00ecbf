// Whether this person is in front of the page, told to the service.

import type { Connection } from '../connection.js';

/** What somebody does with the page. */
export type Doing = 'input' | 'hidden' | 'visible';

/** Calls `report` with what is so now and with each thing done from then on; returns how to stop. */
export type WatchPage = (report: (doing: Doing) => void) => () => void;

const PING_AFTER_MS = 20_000;
const PING_SPREAD_MS = 10_000;
const NEVER = Number.POSITIVE_INFINITY;
const INPUTS = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart', 'focus'];

export interface ActivityOptions {
  awayWhenHiddenMs: number;
  awayWhenIdleMs: number;
  random(): number;
}

/** Says `presence.ping` every 20-30 s, and at once when somebody comes back or counts as away. */
export class Activity {
  /** Local time; never: it is not hidden. */
  #hiddenAt = NEVER;
  /** Local time; never: nobody says, as where there is no page, and whoever is connected is here. */
  #inputAt = NEVER;
  #told: 'online' | 'away' = 'online';
  #pingAt = 0;
  #isUp = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly connection: Connection,
    private readonly options: ActivityOptions,
  ) {}

  /** Whether the service listens. */
  setUp(isUp: boolean): void {
    this.#isUp = isUp;
    this.#told = 'online'; // a new connection counts as that
    this.#planPing();
    this.#check();
  }

  report(doing: Doing): void {
    const now = Date.now();
    if (doing !== 'hidden') this.#inputAt = now;
    if (doing === 'hidden') this.#hiddenAt = Math.min(this.#hiddenAt, now);
    else if (doing === 'visible') this.#hiddenAt = NEVER;
    // Inputs are many; the timer looks at the last one.
    if (doing !== 'input' || this.#told === 'away') this.#check();
  }

  #planPing(): void {
    this.#pingAt = Date.now() + PING_AFTER_MS + this.options.random() * PING_SPREAD_MS;
  }

  #check(): void {
    clearTimeout(this.#timer);
    if (!this.#isUp) return;
    const { awayWhenHiddenMs, awayWhenIdleMs } = this.options;
    const now = Date.now();
    const awayAt = Math.min(this.#hiddenAt + awayWhenHiddenMs, this.#inputAt + awayWhenIdleMs);
    const status = now < awayAt ? 'online' : 'away';
    if (status !== this.#told || now >= this.#pingAt) {
      this.#told = status;
      this.#planPing();
      // That it is answered is enough: it is not answered over a dead connection.
      this.connection.ask({ type: 'presence.ping', status }, () => {});
    }
    const next = status === 'online' ? Math.min(this.#pingAt, awayAt) : this.#pingAt;
    this.#timer = setTimeout(() => this.#check(), next - now);
  }
}

/** The browser's page; where there is none, nothing is reported. */
export const watchPage: WatchPage = (report) => {
  const page: Partial<typeof globalThis> = globalThis;
  const { document } = page;
  if (document === undefined) return () => {};
  const onInput = () => report('input');
  const onVisibility = () => report(document.visibilityState === 'hidden' ? 'hidden' : 'visible');
  const options = { capture: true, passive: true };
  for (const type of INPUTS) page.addEventListener?.(type, onInput, options);
  document.addEventListener('visibilitychange', onVisibility);
  onVisibility();
  return () => {
    for (const type of INPUTS) page.removeEventListener?.(type, onInput, options);
    document.removeEventListener('visibilitychange', onVisibility);
  };
};
