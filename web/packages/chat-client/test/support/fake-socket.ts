import type { Frame, SocketLike } from '../../src/index.js';

interface Server {
  readonly sockets: Set<FakeSocket>;
  expiresAt(): string;
}

export class FakeSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly said: Frame[] = [];
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
    const frame = JSON.parse(data) as Frame & { id?: string; token?: string };
    this.said.push(frame);
    if (this.deaf) return;
    if (frame.type === 'auth.refresh' && this.refusals > 0) {
      this.refusals -= 1;
      this.tell({ type: 'error', replyTo: frame.id, problem: { code: 'unavailable' } } as Frame);
    } else if (frame.type === 'auth.refresh') {
      this.tell({ type: 'ack', replyTo: frame.id, data: { expiresAt: this.server.expiresAt() } } as Frame);
    }
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
