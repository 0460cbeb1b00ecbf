import type { ChatProblem } from './problem.js';

export const FIRST_DELAY_MS = 500;
export const LONGEST_DELAY_MS = 20_000;
/** More than this a timer takes for nothing. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Full jitter between half a second and a ceiling that doubles with each attempt (0, 1, …), at most 20 s. */
export function delayBefore(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempt + 1));
  return FIRST_DELAY_MS + random() * (ceiling - FIRST_DELAY_MS);
}

/** Not before the service said, and ever later, so that a crowd does not come back at once. */
export function delayAfter(problem: ChatProblem | null, attempt: number, random?: () => number): number {
  return Math.max(problem?.retryAfterMs ?? 0, delayBefore(attempt, random));
}

/** Waits; ends early, without an error, when `signal` aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, LONGEST_TIMER_MS));
    signal?.addEventListener('abort', done);
  });
}

/** A key that no other has. (`crypto.randomUUID` exists on https and localhost only.) */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
