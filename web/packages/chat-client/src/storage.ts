import type { Outgoing } from './outbox.js';

/** Where unsent messages outlive the page. An error means: not kept; sending goes on. */
export interface OutboxStorage {
  load(userId: string): Promise<Outgoing[]>;
  put(userId: string, item: Outgoing): Promise<void>;
  remove(userId: string, clientMessageId: string): Promise<void>;
  /** Forgets everything, of everybody. */
  clear(): Promise<void>;
}

const DATABASE = 'splits-chat';
const TABLE = 'outbox';

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** IndexedDB; keys are [userId, clientMessageId]. */
export class IndexedDbStorage implements OutboxStorage {
  #opened: Promise<IDBDatabase> | null = null;

  constructor(private readonly factory: IDBFactory = indexedDB) {}

  async load(userId: string): Promise<Outgoing[]> {
    const range = IDBKeyRange.bound([userId], [userId, []]);
    return settled((await this.#table('readonly')).getAll(range)) as Promise<Outgoing[]>;
  }

  async put(userId: string, item: Outgoing): Promise<void> {
    await settled((await this.#table('readwrite')).put(item, [userId, item.clientMessageId]));
  }

  async remove(userId: string, clientMessageId: string): Promise<void> {
    await settled((await this.#table('readwrite')).delete([userId, clientMessageId]));
  }

  async clear(): Promise<void> {
    await settled((await this.#table('readwrite')).clear());
  }

  async #table(mode: IDBTransactionMode): Promise<IDBObjectStore> {
    this.#opened ??= this.#open();
    return (await this.#opened).transaction(TABLE, mode).objectStore(TABLE);
  }

  #open(): Promise<IDBDatabase> {
    const request = this.factory.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(TABLE);
    return settled(request);
  }
}

/** Nothing outlives the page. */
export class NoStorage implements OutboxStorage {
  load = async (): Promise<Outgoing[]> => [];
  put = async (): Promise<void> => {};
  remove = async (): Promise<void> => {};
  clear = async (): Promise<void> => {};
}
