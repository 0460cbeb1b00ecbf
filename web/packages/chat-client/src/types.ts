// The public contract: entities of REST, and frames of the socket. Unknown fields are ignored.

export type Role = 'recruiter' | 'company' | 'candidate' | 'moderator' | 'admin';
export type ConversationState = 'request' | 'active' | 'declined' | 'withdrawn' | 'expired';
export type FolderName = 'inbox' | 'requests' | 'sent' | 'archived';

export interface User {
  id: string;
  displayName: string;
  avatarUrl: string | null;
  role: Role | null;
  orgId: string | null;
  orgName: string | null;
  orgVerified: boolean;
}

export interface Context {
  jobId?: string;
  jobTitle?: string;
  companyName?: string;
  companyLogoUrl?: string;
  applicationId?: string;
  url?: string;
}

export interface Participant {
  user: User;
  side: 'initiator' | 'recipient';
  joinedAt: string;
  leftAt: string | null;
  /** How far they have read; null while hidden by privacy. */
  lastReadSeq: number | null;
}

export interface Policy {
  canSend: boolean;
  reason: string | null;
  linksClickable: boolean;
  attachmentsAllowed: boolean;
  /** Before the other side accepts; null without a limit. */
  messagesLeft: number | null;
}

export interface Link {
  start: number;
  end: number;
  url: string;
}

export interface Attachment {
  id: string;
  fileName: string;
  contentType: string;
  sizeBytes: number;
  state: 'pending_upload' | 'pending_scan' | 'available' | 'blocked' | 'failed';
  previewUrl: string | null;
  version: number;
}

export interface Message {
  id: string;
  clientMessageId: string;
  conversationId: string;
  /** Place in the conversation: 1..n without a gap. */
  seq: number;
  /** Number of its latest change in the conversation: 1..m without a gap. */
  changeSeq: number;
  senderId: string;
  kind: 'text' | 'system';
  text: string;
  links: Link[];
  attachments: Attachment[];
  replyToId: string | null;
  createdAt: string;
  editedAt: string | null;
  redactedAt: string | null;
  redactedBy: string | null;
}

export interface Conversation {
  id: string;
  state: ConversationState;
  kind: 'direct' | 'team';
  initiatorId: string;
  assigneeId: string | null;
  participants: Participant[];
  context: Context | null;
  policy: Policy;
  lastMessage: Message | null;
  lastMessageAt: string | null;
  lastSeq: number;
  changeSeq: number;
  lastReadSeq: number;
  unreadCount: number;
  folder: FolderName | null;
  muted: boolean;
  archived: boolean;
  blockedByMe: boolean;
  version: number;
  createdAt: string;
  updatedAt: string;
}

/** Whether somebody is here. Who may not be seen reads as gone for good: offline, without a time. */
export interface Presence {
  userId: string;
  status: 'online' | 'away' | 'offline';
  lastSeenAt: string | null;
}

export interface Unread {
  messages: number;
  conversations: number;
  requests: number;
}

/** What of this person others see; who hides it does not see it of others. */
export interface Settings {
  readReceipts: boolean;
  typingIndicators: boolean;
  presence: boolean;
}

export interface Me {
  user: User;
  unread: Unread;
  limits: { maxTextLength: number; maxClientMessageIdLength: number; maxBodyBytes: number };
  settings: Settings;
}

export interface WatchItem {
  conversationId: string;
  state: ConversationState;
  version: number;
  lastSeq: number;
  changeSeq: number;
  lastReadSeq: number;
  changedAt: string;
  removed?: boolean;
}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

export interface MessagePage {
  items: Message[];
  hasOlder: boolean;
  hasNewer: boolean;
}

export interface ReadMark {
  lastReadSeq: number;
  unreadCount: number;
  unread: Unread;
}

/** What `conversation.*` frames carry: the conversation, and the receiver's own side of it. */
export interface ConversationChange {
  conversation: {
    id: string;
    state: ConversationState;
    kind: 'direct' | 'team';
    initiatorId: string;
    assigneeId: string | null;
    participantIds: string[];
    context: Context | null;
    version: number;
    lastSeq: number;
    /** As of which change `self.unreadCount` was counted; servers of before do not say. */
    changeSeq?: number;
    lastMessageAt: string | null;
  };
  /** Null: the receiver is in it no more. */
  self: Pick<
    Conversation,
    'folder' | 'lastReadSeq' | 'unreadCount' | 'muted' | 'archived' | 'policy' | 'blockedByMe'
  > | null;
  unread: Unread;
}

export interface Receipt {
  userId: string;
  lastReadSeq: number;
  at: string;
}

export interface Welcome {
  connectionId: string;
  userId: string;
  resumed: boolean;
  reason?: string;
  serverTime: string;
  pingMs: number;
  expiresAt: string;
  unread: Unread;
  watchList: WatchItem[];
}

/** Any frame of the server; `data` is as `type` says. */
export interface Notice {
  noticeId: string;
  code: string;
  severity: 'info' | 'warning' | 'critical';
  text: string;
}

export interface Frame {
  type: string;
  eventId?: string;
  eventVersion?: number;
  occurredAt?: string;
  cursor?: string;
  conversationId?: string;
  data?: unknown;
  replyTo?: string;
  problem?: unknown;
}
