// Who is here. Of people in an open conversation the service tells each change; of others, as those in a list, it is
// asked now and then, while somebody watches and the page is visible. What is not heard of for long enough lapses.

import type { Api } from '../api.js';
import { ChatProblem, type Presence, UnauthorizedError } from '../index.js';
import { type Store, sameOr, Value } from '../store.js';

/** Those who are watched within this ask together. */
const GATHER_MS = 50;
const READ_AFTER_MS = 60_000;
/** Where each change is told: frames of this kind are left out for who is behind. */
const READ_TOLD_AFTER_MS = 300_000;
const AGAIN_MS = 20_000;
/** Those whose turn comes within this are asked for together. */
const TOGETHER_MS = 5_000;
const SPREAD_MS = 5_000;
const LAPSE_MARGIN_MS = 5_000;
const NEVER = Number.POSITIVE_INFINITY;
/** The service takes 100; ids may be long, and addresses are not. */
const AT_ONCE = 50;

export interface PresencesOptions {
  presenceTtlMs: number;
  onChange(presence: Presence): void;
  random(): number;
}

class Person implements Store<Presence> {
  readonly value: Value<Presence>;
  watchers = 0;
  /** Each change is told from now on. */
  isTold = false;
  /** Local time as of which `value` is known. */
  knownAt = 0;
  /** Local time at which to ask. */
  readAt = 0;

  constructor(
    readonly userId: string,
    private readonly onWatch: () => void,
  ) {
    this.value = new Value(unknown(userId));
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    let stop: (() => void) | null = this.value.subscribe(listener);
    this.watchers += 1;
    this.onWatch();
    return () => {
      if (stop === null) return;
      stop();
      stop = null;
      this.watchers -= 1;
    };
  };
  readonly getSnapshot = (): Presence => this.value.getSnapshot();
}

export class Presences {
  readonly #all = new Map<string, Person>();
  #isUp = false;
  #isHidden = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly api: Api,
    private readonly options: PresencesOptions,
  ) {}

  of(userId: string): Person {
    let person = this.#all.get(userId);
    if (person === undefined) {
      person = new Person(userId, () => this.#watched(userId));
      this.#all.set(userId, person);
    }
    return person;
  }

  /** What a frame said. */
  told(presence: Presence): void {
    const person = this.of(presence.userId);
    person.isTold = true;
    this.#know(person, presence, Date.now());
    this.#plan();
  }

  /** A conversation is open no more: whose changes are still told is not known until the next of them. */
  letGo(): void {
    const now = Date.now();
    for (const person of this.#all.values()) {
      if (!person.isTold) continue;
      person.isTold = false;
      person.knownAt = now;
      person.readAt = now + this.options.random() * READ_AFTER_MS;
    }
    this.#plan();
  }

  /** Whether the service is there. */
  setUp(isUp: boolean): void {
    this.#isUp = isUp;
    if (!isUp) return this.letGo();
    // Not all who come back together ask at once; what was never known does not wait.
    const soon = Date.now() + this.options.random() * SPREAD_MS;
    for (const person of this.#all.values()) {
      if (person.knownAt > 0) person.readAt = Math.max(person.readAt, soon);
    }
    this.#plan();
  }

  setHidden(isHidden: boolean): void {
    this.#isHidden = isHidden;
    this.#plan();
  }

  /** Nothing of what was known stays. */
  clear(): void {
    for (const person of this.#all.values()) {
      person.isTold = false;
      person.knownAt = 0;
      person.readAt = 0;
      this.#show(person, unknown(person.userId));
    }
    this.#plan();
  }

  #watched(userId: string): void {
    const person = this.of(userId);
    person.readAt = Math.max(person.readAt, Date.now() + GATHER_MS);
    this.#plan();
  }

  /** Looks again when the next of them is due. */
  #plan(): void {
    clearTimeout(this.#timer);
    const due = [...this.#all.values()].flatMap((each) => [this.#readsAt(each), this.#lapsesAt(each)]);
    const at = Math.min(...due);
    if (at < NEVER) this.#timer = setTimeout(() => this.#look(), at - Date.now());
  }

  #readsAt({ watchers, readAt }: Person): number {
    return this.#isUp && !this.#isHidden && watchers > 0 ? readAt : NEVER;
  }

  #lapsesAt({ isTold, knownAt, value }: Person): number {
    if (isTold || value.getSnapshot().status === 'offline') return NEVER;
    return knownAt + this.options.presenceTtlMs + LAPSE_MARGIN_MS;
  }

  #look(): void {
    const now = Date.now();
    const all = [...this.#all.values()];
    for (const person of all) {
      if (now < this.#lapsesAt(person)) continue;
      this.#show(person, { ...person.getSnapshot(), status: 'offline' });
    }
    const isDue = all.some((each) => this.#readsAt(each) <= now);
    const due = isDue ? all.filter((each) => this.#readsAt(each) <= now + TOGETHER_MS) : [];
    for (const person of due) person.readAt = now + AGAIN_MS; // should this one fail
    for (let from = 0; from < due.length; from += AT_ONCE) {
      void this.#read(due.slice(from, from + AT_ONCE), now);
    }
    this.#plan();
  }

  async #read(people: readonly Person[], now: number): Promise<void> {
    const query = queryOf(people.map((each) => each.userId));
    let items: Presence[];
    try {
      ({ items } = await this.api.exchange<{ items: Presence[] }>('GET', `/presence?${query}`));
    } catch (error) {
      // It lapses, unless it can be read before that.
      if (error instanceof ChatProblem || error instanceof UnauthorizedError) return;
      throw error;
    }
    const byId = new Map(items.map((each) => [each.userId, each]));
    for (const person of people) {
      // A frame that came meanwhile is later, or what it says will be told again.
      if (person.knownAt > now) continue;
      // Left out: nobody to this person any more.
      this.#know(person, byId.get(person.userId) ?? unknown(person.userId), now);
    }
    this.#plan();
  }

  #know(person: Person, presence: Presence, at: number): void {
    person.knownAt = at;
    person.readAt = at + (person.isTold ? READ_TOLD_AFTER_MS : READ_AFTER_MS);
    this.#show(person, presence);
  }

  #show(person: Person, { userId, status, lastSeenAt }: Presence): void {
    const before = person.getSnapshot();
    const next = sameOr(before, { userId, status, lastSeenAt });
    if (next === before) return;
    person.value.set(next);
    this.options.onChange(next);
  }
}

const unknown = (userId: string): Presence => ({ userId, status: 'offline', lastSeenAt: null });

/** Those whose ids can be parted by commas together, the others each by themself. */
function queryOf(userIds: readonly string[]): string {
  const parted = userIds.filter((each) => !each.includes(','));
  const whole = userIds.filter((each) => each.includes(','));
  return [
    ...(parted.length > 0 ? [`userIds=${parted.map(encodeURIComponent).join()}`] : []),
    ...whole.map((each) => `userId=${encodeURIComponent(each)}`),
  ].join('&');
}
