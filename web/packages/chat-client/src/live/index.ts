export * from '../index.js';
export type { Doing, WatchPage } from './activity.js';
export { LiveClient, type LiveClientOptions } from './client.js';
export { LiveConversation, type LiveSnapshot } from './conversation.js';
