import { webcrypto } from 'node:crypto';

// A global since Node 19; browsers have it.
if (globalThis.crypto === undefined) Object.assign(globalThis, { crypto: webcrypto });

// Node's reaches other test files, too: a sign-out there is none here.
Reflect.deleteProperty(globalThis, 'BroadcastChannel');
