import { webcrypto } from 'node:crypto';

// A global since Node 19; browsers have it.
if (globalThis.crypto === undefined) Object.assign(globalThis, { crypto: webcrypto });
