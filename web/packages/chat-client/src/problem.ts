/** Throw it from `getToken` when there is no session any more: the client stops instead of trying again. */
export class UnauthorizedError extends Error {
  override name = 'UnauthorizedError';
}

interface ProblemFields {
  code: string;
  status?: number;
  title?: string;
  detail?: string;
  requestId?: string | null;
  retryAfterMs?: number | null;
  errors?: readonly Violation[];
}

export interface Violation {
  pointer: string;
  code: string;
  message: string;
}

const WORTH_REPEATING = new Set([0, 408, 429, 502, 503, 504]);

/**
 * What the service answered when it did not do what was asked (RFC 9457). Branch on `code`; besides those of the
 * contract there are `network` (no answer), `expired` (kept too long unsent) and `outbox_full`.
 */
export class ChatProblem extends Error {
  override name = 'ChatProblem';
  readonly code: string;
  /** 0 when there was no answer. */
  readonly status: number;
  readonly requestId: string | null;
  readonly retryAfterMs: number | null;
  readonly errors: readonly Violation[];

  constructor(fields: ProblemFields) {
    const { code, status = 0, title, detail, requestId = null, retryAfterMs = null, errors = [] } = fields;
    super(detail || title || code);
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
    this.errors = errors;
  }

  /** Whether the same request may succeed later: no answer, 408, 429, 502-504. */
  get retryable(): boolean {
    return WORTH_REPEATING.has(this.status) && this.code !== 'expired' && this.code !== 'outbox_full';
  }

  static async of(response: Response): Promise<ChatProblem> {
    let body: Partial<ProblemFields> = {};
    try {
      body = (await response.json()) as Partial<ProblemFields>;
    } catch {
      // Something between us and the service answered in its own manner: the status says enough.
    }
    const seconds = Number(response.headers.get('Retry-After') ?? Number.NaN);
    const retryAfterMs = body.retryAfterMs ?? (seconds >= 0 ? seconds * 1000 : undefined);
    return new ChatProblem({
      code: 'internal',
      title: response.statusText,
      ...body,
      status: response.status,
      retryAfterMs,
    });
  }
}
