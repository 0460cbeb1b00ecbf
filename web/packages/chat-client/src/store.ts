/** A value that can be watched; `getSnapshot` is the same object until something changed. */
export interface Store<T> {
  /** Calls `listener` after each change; returns how to stop. */
  subscribe(listener: () => void): () => void;
  getSnapshot(): T;
}

/** A listener's error is the application's: it is reported as such and stops nobody else. */
export function report(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

export class Listeners<A extends unknown[]> {
  readonly #all = new Set<(...a: A) => void>();

  add(listener: (...a: A) => void): () => void {
    const own = (...a: A) => listener(...a); // the same function twice is two subscriptions
    this.#all.add(own);
    return () => this.#all.delete(own);
  }

  tell(...a: A): void {
    for (const listener of [...this.#all]) {
      if (!this.#all.has(listener)) continue; // one before it has stopped it
      try {
        listener(...a);
      } catch (error) {
        report(error);
      }
    }
  }
}

export class Value<T> implements Store<T> {
  readonly #listeners = new Listeners<[]>();

  constructor(private value: T) {}

  readonly subscribe = (listener: () => void): (() => void) => this.#listeners.add(listener);
  readonly getSnapshot = (): T => this.value;

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    this.#listeners.tell();
  }
}

/** `next`, or `held` when it holds the very same things. */
export function sameOr<T extends object>(held: T, next: T): T {
  const keys = Object.keys(next) as (keyof T)[];
  const same =
    keys.length === Object.keys(held).length && keys.every((key) => Object.is(held[key], next[key]));
  return same ? held : next;
}
