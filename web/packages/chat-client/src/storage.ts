import { newKey } from './backoff.js';
import type { Outgoing } from './outbox.js';

/** Where unsent messages outlive the page. An error means: not kept; sending goes on. */
export interface OutboxStorage {
  /** What this person left unsent, other than what another open page sends; it is this page's from now on. */
  load(userId: string): Promise<Outgoing[]>;
  put(userId: string, item: Outgoing): Promise<void>;
  remove(userId: string, clientMessageId: string): Promise<void>;
  /** Forgets everything, of everybody. */
  clear(): Promise<void>;
  /** What is kept may be sent by another page. */
  release?(): void;
}

const DATABASE = 'splits-chat';
const TABLE = 'outbox';

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** As kept: with the page that sends it. */
type Row = Outgoing & { readonly page?: string };

/**
 * IndexedDB; keys are [userId, clientMessageId]. Each page holds a Web Lock named after itself, so that others see
 * which entries nobody sends any more. Without Web Locks (plain http) every page takes them all, and the service
 * knows a message that comes twice by its key.
 */
export class IndexedDbStorage implements OutboxStorage {
  readonly #page = newKey();
  readonly #locks = globalThis.navigator?.locks as LockManager | undefined;
  #opened: Promise<IDBDatabase> | null = null;
  #held: Promise<void> | null = null;
  #letGo = (): void => {};

  constructor(private readonly factory: IDBFactory = indexedDB) {}

  async load(userId: string): Promise<Outgoing[]> {
    const locks = this.#locks;
    if (locks === undefined) return this.#take(userId, new Set());
    this.#held ??= new Promise((held, failed) => {
      const untilReleased = () => {
        held();
        return new Promise<void>((done) => {
          this.#letGo = done;
        });
      };
      locks.request(DATABASE + this.#page, untilReleased).catch(failed);
    });
    await this.#held;
    // One page at a time: of two that open together, one takes all.
    return locks.request(DATABASE, async () => {
      const { held } = await locks.query();
      return this.#take(userId, new Set(held?.map((each) => each.name)));
    });
  }

  release(): void {
    this.#held = null;
    this.#letGo();
  }

  async put(userId: string, item: Outgoing): Promise<void> {
    const row: Row = { ...item, page: this.#page };
    await settled((await this.#table('readwrite')).put(row, [userId, item.clientMessageId]));
  }

  async remove(userId: string, clientMessageId: string): Promise<void> {
    await settled((await this.#table('readwrite')).delete([userId, clientMessageId]));
  }

  async clear(): Promise<void> {
    await settled((await this.#table('readwrite')).clear());
  }

  async #take(userId: string, open: ReadonlySet<string | undefined>): Promise<Outgoing[]> {
    const table = await this.#table('readwrite');
    const rows: Row[] = await settled(table.getAll(IDBKeyRange.bound([userId], [userId, []])));
    const free = rows.filter(({ page }) => page === this.#page || !open.has(DATABASE + page));
    return free.map(({ page, ...item }) => {
      if (page !== this.#page) table.put({ ...item, page: this.#page }, [userId, item.clientMessageId]);
      return item;
    });
  }

  async #table(mode: IDBTransactionMode): Promise<IDBObjectStore> {
    this.#opened ??= this.#open();
    return (await this.#opened).transaction(TABLE, mode).objectStore(TABLE);
  }

  async #open(): Promise<IDBDatabase> {
    const again = () => {
      this.#opened = null;
    };
    try {
      const request = this.factory.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
      const database = await settled(request);
      database.onclose = again; // the browser cleared what the site keeps
      database.onversionchange = () => {
        again();
        database.close(); // a later version of this client waits in another page
      };
      return database;
    } catch (error) {
      again();
      throw error;
    }
  }
}

/** Nothing outlives the page. */
export class NoStorage implements OutboxStorage {
  load = async (): Promise<Outgoing[]> => [];
  put = async (): Promise<void> => {};
  remove = async (): Promise<void> => {};
  clear = async (): Promise<void> => {};
}
