// The demo's people and their tokens, from the development issuer.

import { ChatProblem } from './chat-client.js';

const TIMEOUT_MS = 15_000;
const FRESH_FOR_MS = 60_000;

async function fetchOrProblem(url, options) {
  let response;
  try {
    response = await fetch(url, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new ChatProblem({ code: 'network', detail: 'The service cannot be reached.' });
  }
  if (!response.ok) throw await ChatProblem.of(response);
  return response;
}

export class Issuer {
  constructor(url) {
    this.url = url;
  }

  async people() {
    return (await (await fetchOrProblem(`${this.url}/personas`)).json()).items;
  }

  /** A function that returns a token for `person`, the same one until it is about to expire. */
  tokensFor(person) {
    let held = null;
    return async ({ forceRefresh }) => {
      if (!forceRefresh && held && held.expiresAt - Date.now() > FRESH_FOR_MS) return held.token;
      const response = await fetchOrProblem(`${this.url}/token`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ userId: person.userId, role: person.role }),
      });
      const { token, expiresAt } = await response.json();
      held = { token, expiresAt: Date.parse(expiresAt) };
      return token;
    };
  }
}
