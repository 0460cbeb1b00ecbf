export type { GetToken } from './api.js';
export {
  ChatClient,
  type ChatClientOptions,
  type ChatEvents,
  type ClientState,
  type Phase,
} from './client.js';
export type { OpenSocket, SocketLike } from './connection.js';
export { ChatConversation, type ChatMessage, type ConversationSnapshot } from './conversation.js';
export { Folder, type FolderSnapshot } from './folders.js';
export type { Outgoing } from './outbox.js';
export { ChatProblem, UnauthorizedError, type Violation } from './problem.js';
export { IndexedDbStorage, NoStorage, type OutboxStorage } from './storage.js';
export type { Store } from './store.js';
export type * from './types.js';
