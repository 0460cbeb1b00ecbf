import type { Saying } from '../../src/connection.js';
import type { Frame, SocketLike } from '../../src/index.js';

interface Server {
  readonly sockets: Set<FakeSocket>;
  expiresAt(): string;
  /** What is wrong with it; null: nothing. */
  heard(socket: FakeSocket, frame: Saying): object | null;
}

export class FakeSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly said: Saying[] = [];
  /** The conversations that are open on it. */
  readonly screens = new Set<string>();
  readonly late: (() => Frame)[] = [];
  closed = false;
  /** Nothing that is said arrives any more, and nobody notices. */
  deaf = false;
  /** How many token renewals are refused from now on. */
  refusals = 0;

  constructor(
    private readonly server: Server,
    readonly userId: string,
    readonly url: string,
    readonly protocols: string[],
  ) {}

  send(data: string): void {
    const frame = JSON.parse(data) as Saying;
    this.said.push(frame);
    // Nobody answers before the next task.
    if (!this.deaf) setTimeout(() => this.closed || this.hear(frame));
  }

  private hear(frame: Saying): void {
    const { type, id: replyTo } = frame;
    if (type === 'auth.refresh' && this.refusals > 0) {
      this.refusals -= 1;
      return this.tell({ type: 'error', replyTo, problem: { code: 'unavailable' } });
    }
    const data = type === 'auth.refresh' ? { expiresAt: this.server.expiresAt() } : undefined;
    const problem = this.server.heard(this, frame);
    if (problem !== null) this.tell({ type: 'error', replyTo, problem });
    else if (replyTo !== undefined || data !== undefined) this.tell({ type: 'ack', replyTo, data });
  }

  close(): void {
    this.closed = true;
    this.server.sockets.delete(this);
  }

  /** The server, or the network, ends it. */
  end(code = 1006): void {
    if (this.closed) return;
    this.close();
    this.onclose?.({ code });
  }

  tell(frame: Frame): void {
    if (!this.closed) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  flushLate(): void {
    for (const frame of this.late.splice(0)) this.tell(frame());
  }
}
