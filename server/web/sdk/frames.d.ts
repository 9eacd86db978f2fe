// Made by `python -m server.documents` from protocol/frames.py; not edited by hand.

/** Of a history event that was missed and came with a snapshot. */
export interface Late {
  readonly late?: true;
}

export type ErrorCode =
  | "MALFORMED_FRAME"
  | "UNKNOWN_FRAME"
  | "INVALID_FIELD"
  | "BODY_TOO_LARGE"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "REQUEST_TIMEOUT"
  | "RANGE_NOT_SATISFIABLE"
  | "TOKEN_MISSING"
  | "TOKEN_INVALID"
  | "TOKEN_EXPIRED"
  | "FORBIDDEN"
  | "WRONG_ROOM"
  | "RATE_LIMITED"
  | "TOO_MANY_CONNECTIONS"
  | "SERVER_BUSY"
  | "ROOM_UNKNOWN"
  | "ROOM_OFFLINE"
  | "ROOM_BUSY"
  | "ROOM_FAILED"
  | "BROADCAST_STALE"
  | "BROADCAST_ACTIVE"
  | "SECOND_MODEL_PAGE"
  | "INTEGRATION_CONFLICT"
  | "USER_UNKNOWN"
  | "TIP_UNKNOWN"
  | "TIP_CONFLICT"
  | "INSUFFICIENT_TOKENS"
  | "TRANSFER_CONFLICT"
  | "ACCOUNT_UNKNOWN"
  | "HOLD_UNKNOWN"
  | "HOLD_ENDED"
  | "REFUND_EXCEEDS"
  | "REFUND_UNCOVERED"
  | "REFUND_MOVED"
  | "WEBHOOK_UNKNOWN"
  | "DELIVERY_UNKNOWN"
  | "TOO_MANY_WEBHOOKS"
  | "TOO_MANY_STREAMS"
  | "EVENTS_ARCHIVED"
  | "LEDGER_UNAVAILABLE"
  | "PREFERENCE_HIDDEN"
  | "SETTING_UNKNOWN"
  | "ROOM_TAKEN"
  | "MODEL_HAS_ROOM"
  | "MENU_ROW_UNKNOWN"
  | "MENU_MISMATCH"
  | "TIP_AMOUNT_TAKEN"
  | "PATTERN_UNKNOWN"
  | "LIMIT_REACHED"
  | "LOVENSE_DISABLED"
  | "TOYS_PAUSED"
  | "TOYS_BUSY"
  | "TOY_UNAVAILABLE"
  | "ROW_NOT_PLAYABLE"
  | "DEAD_LETTER_UNKNOWN"
  | "DEAD_LETTER_DECIDED"
  | "SKIPPED_EVENT_UNKNOWN"
  | "DEVICE_UNKNOWN"
  | "MESSAGE_UNKNOWN"
  | "MESSAGE_CONFLICT"
  | "TEMPLATE_UNKNOWN"
  | "NO_TEMPLATE"
  | "MENU_UNKNOWN"
  | "MENU_ITEM_UNKNOWN"
  | "MENU_ITEM_INACTIVE"
  | "MENU_ITEM_CHANGED"
  | "MENU_HIDDEN"
  | "DAILY_LIMIT_REACHED"
  | "PURCHASE_UNKNOWN"
  | "PURCHASE_CONFLICT"
  | "STAGE_FULL"
  | "STAGE_BUSY"
  | "STAGE_NOT_NEXT"
  | "STAGE_WRONG_STATE"
  | "STAGE_PERFORMING"
  | "VENDOR_REFUSED"
  | "VENDOR_UNAVAILABLE"
  | "INTERNAL";

export type CloseName =
  | "GOING_AWAY"
  | "SLOW_CONSUMER"
  | "HEARTBEAT_LOST"
  | "CONNECT_TIMEOUT"
  | "TOKEN_EXPIRED"
  | "ROOM_RESTARTING"
  | "FLOOD"
  | "ROOM_FAILED"
  | "SERVER_BUSY"
  | "TOO_MANY_CONNECTIONS"
  | "TOKEN_INVALID"
  | "WRONG_ROOM"
  | "SECOND_MODEL_PAGE"
  | "INTEGRATION_CONFLICT"
  | "BAD_FRAMES"
  | "ROOM_UNKNOWN"
  | "KICKED";

// ---- client to server

/**
 * The first frame of every socket, within the handshake time. A model's page names the one
 * integration that it runs; a viewer's page leaves it out.
 */
export interface Connect {
  readonly type: "connect";
  readonly ref: number;
  readonly token: string;
  readonly integration?: "EXTENSION" | "CAM_KIT" | null;
  readonly resume?: Resume | null;
  /** The same for one page's life, reloads included: a page that comes back takes the place of its own lost socket at once, instead of being refused as a second page. */
  readonly pageId?: string | null;
}

/** A newer token for the same user, role and room; the socket stays. */
export interface RefreshToken {
  readonly type: "refreshToken";
  readonly ref: number;
  readonly token: string;
}

/**
 * A tip of the viewer who is connected. The same tipId again is answered as the first time.
 *
 * `ok` carries a TipReceipt.
 */
export interface Tip {
  readonly type: "tip";
  readonly ref: number;
  readonly tipId: string;
  readonly broadcastId: string;
  readonly amount: number;
}

/** A viewer's toggles; a field that is left out stays. `ok` carries the Preferences. */
export interface SetPreferences {
  readonly type: "setPreferences";
  readonly ref: number;
  readonly reactToMyTips?: boolean | null;
  readonly feelAllTips?: boolean | null;
}

/** All toys that the page's integration knows now; replaces the last report. */
export interface ReportToys {
  readonly type: "reportToys";
  readonly ref: number;
  readonly toys: ReadonlyArray<ReportedToy>;
}

/**
 * The model's own levels and specials, as her integration gives them; null: it has none.
 * Sent on ready and on every change; replaces the last report.
 */
export interface ReportSettings {
  readonly type: "reportSettings";
  readonly ref: number;
  readonly settings: ReportedSettings | null;
}

/**
 * This page is looked at, or not: `away`. A member is away if all of his pages are. Without
 * it a page is online.
 */
export interface SetPresence {
  readonly type: "setPresence";
  readonly state: "away" | "online";
}

/**
 * The member is writing; repeated while he is. Cleared 5 s after the last one, or by
 * `active: false`.
 */
export interface Typing {
  readonly type: "typing";
  readonly active?: boolean;
}

/**
 * Who is here, those who matter first: model, moderators, VIPs, who has tipped in this
 * broadcast, the others; by name among equals. `after`: the `next` of the page before. `ok`
 * carries a MemberPage.
 */
export interface ListMembers {
  readonly type: "listMembers";
  readonly ref: number;
  readonly after?: string | null;
  readonly limit?: number;
}

/** The page has the command and will run it, or has run it before. */
export interface CommandAccepted {
  readonly type: "commandAccepted";
  readonly commandId: string;
}

/** The toy reacts: the integration's own evidence was seen. */
export interface CommandActivated {
  readonly type: "commandActivated";
  readonly commandId: string;
}

/** The page could not run the command. `code`: its own word for why, kept in the audit. */
export interface CommandFailed {
  readonly type: "commandFailed";
  readonly commandId: string;
  readonly code: string;
}

/**
 * A model: stop everything in the room and pause the queue. A viewer: stop the own toy, which
 * then gets nothing until `resumeToys`.
 */
export interface StopToys {
  readonly type: "stopToys";
  readonly ref: number;
}

/** A model: the queue goes on. A viewer: the own toy takes part again. */
export interface ResumeToys {
  readonly type: "resumeToys";
  readonly ref: number;
}

/**
 * The model goes live, with exactly one integration for the whole broadcast: that of her
 * settings if it is left out.
 *
 * `ok` carries a BroadcastStarted. A page that runs the other integration is then closed with
 * a come-back code, to connect anew with the right one.
 */
export interface StartBroadcast {
  readonly type: "startBroadcast";
  readonly ref: number;
  readonly lovenseMode?: "EXTENSION" | "CAM_KIT" | null;
}

/** The model goes off air; activations that still wait are skipped. */
export interface EndBroadcast {
  readonly type: "endBroadcast";
  readonly ref: number;
}

/**
 * The model tries a row of her tip menu on her own toy: no tip, no tokens, no other target. It
 * plays at once or not at all: never while a toy plays or tips wait. `ok` carries a
 * ToyTestStarted.
 */
export interface ToyTest {
  readonly type: "testActivation";
  readonly ref: number;
  readonly rowId: string;
}

/**
 * The page has a message that is meant for its member: a `privateMessage`, or a `publicMessage`
 * for which a `receiptWanted` came. Not answered; a repeat changes nothing.
 */
export interface MessageDelivered {
  readonly type: "messageDelivered";
  readonly messageId: string;
}

/** The member has seen it. Not answered; it counts as delivered, too. */
export interface MessageRead {
  readonly type: "messageRead";
  readonly messageId: string;
}

/** Where a returning client stopped: the `epoch`, and the `offset` up to which it has all. */
export interface Resume {
  readonly epoch: string;
  readonly offset: number;
}

/** One toy as a page reports it: the union of what the three integrations send. */
export interface ReportedToy {
  readonly id: string;
  readonly name?: string;
  readonly type?: string | null;
  readonly toyType?: string | null;
  readonly nickName?: string | null;
  readonly nickname?: string | null;
  readonly status?: number | string | boolean | null;
  readonly connected?: number | string | boolean | null;
  readonly battery?: number | string | boolean | null;
  readonly fullFunctionNames?: ReadonlyArray<string> | null;
  readonly version?: number | string | boolean | null;
  readonly fVersion?: number | string | boolean | null;
}

/** `getSettings()` of the Extension and of Cam Kit, untouched. */
export interface ReportedSettings {
  readonly levels?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly special?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export type ClientFrame =
  | Connect
  | RefreshToken
  | Tip
  | SetPreferences
  | ReportToys
  | ReportSettings
  | SetPresence
  | Typing
  | ListMembers
  | CommandAccepted
  | CommandActivated
  | CommandFailed
  | StopToys
  | ResumeToys
  | StartBroadcast
  | EndBroadcast
  | ToyTest
  | MessageDelivered
  | MessageRead;

// ---- server to client

/** Done. `result` depends on what was asked; null where there is nothing to say. */
export interface Ok {
  readonly type: "ok";
  readonly ref: number;
  readonly result: unknown;
}

/**
 * Not done, and nothing changed, but for LEDGER_UNAVAILABLE: then nobody knows, and the same
 * tipId again finds out. `ref` is null where the frame had none that could be read.
 * `retry`: the same frame may succeed later. `retryAfterS`: not before.
 */
export interface Error {
  readonly type: "error";
  readonly ref: number | null;
  readonly code: ErrorCode;
  readonly text: string;
  readonly retry: boolean;
  readonly field: string | null;
  readonly retryAfterS: number | null;
}

/** The public part of a settled tip: nothing else of it reaches other members. */
export interface TipNotice {
  readonly type: "tipNotice";
  readonly epoch: string;
  readonly offset: number;
  readonly username: string;
  readonly amount: number;
  readonly itemName: string;
  readonly descriptionPublic: string;
  readonly timestamp: string;
}

/**
 * A message to the whole room: the thanks for a tip. A page shows a `messageId` once; after a
 * crash of the server it may come again. `content` is plain text, to be escaped where it is
 * shown.
 */
export interface PublicMessage {
  readonly type: "publicMessage";
  readonly epoch: string;
  readonly offset: number;
  readonly messageId: string;
  readonly messageType: "public_micro" | "private_custom" | "escalation_auto";
  readonly authorName: string;
  readonly mood: "happy" | "sad" | "angry" | "neutral" | "excited" | "anxious" | "unknown";
  readonly content: string;
  readonly createdAt: number;
}

/** The room's public state after a change. */
export interface RoomChanged {
  readonly type: "roomChanged";
  readonly epoch: string;
  readonly offset: number;
  readonly room: RoomView;
}

/**
 * How many viewers are here now, exactly; each counts once, however many tabs. With it, at
 * most once a second, what changed since the `version` before: `here`, who came or is not as
 * before; `gone`, the ids of who left. `omitted`: how many more changes are not listed, of those
 * who matter least. A client that shows a list asks for it anew after an omission or a jump of
 * `version`.
 */
export interface PresenceChanged {
  readonly type: "presenceChanged";
  readonly epoch: string;
  readonly offset: number;
  readonly viewers: number;
  /** As in a snapshot. */
  readonly reconnectWithinS: number;
  readonly version: number;
  readonly here: ReadonlyArray<MemberView>;
  readonly gone: ReadonlyArray<number>;
  readonly omitted: number;
}

/** All who are writing now; at most once a second. */
export interface TypingChanged {
  readonly type: "typingChanged";
  readonly epoch: string;
  readonly offset: number;
  readonly typing: TypingView;
}

/**
 * The room's mood. Without `expiresAt` it holds until the next; otherwise it is neutral from
 * then on, and another one of these says so. A page that has just joined asks over HTTP,
 * `GET /rooms/{roomId}/mood`: the room itself does not know it.
 */
export interface MoodChanged {
  readonly type: "moodChanged";
  readonly epoch: string;
  readonly offset: number;
  readonly mood: "happy" | "sad" | "angry" | "neutral" | "excited" | "anxious" | "unknown";
  readonly confidence: number;
  readonly expiresAt: number | null;
}

/**
 * The first own frame after `connect` succeeds; room events after it are later than it.
 * `recovered`: `missed` has every history event between `resume` and `offset`; otherwise this
 * snapshot replaces all that was known. One frame has both, so that nobody gets a part of it.
 */
export interface Snapshot {
  readonly type: "snapshot";
  readonly epoch: string;
  readonly offset: number;
  readonly recovered: boolean;
  readonly serverTime: number;
  readonly room: RoomView;
  readonly self: SelfView;
  readonly viewers: number;
  /** Of the list of members; the first page of it is asked for by `listMembers`. */
  readonly presenceVersion: number;
  readonly typing: TypingView;
  readonly missed: ReadonlyArray<TipNotice | PublicMessage>;
  /** After a connection that was lost without a close frame: come back at a random moment within this long. The more members, the longer. */
  readonly reconnectWithinS: number;
}

/** The viewer's own state after a change: gates, preferences, balance, toy. */
export interface SelfChanged {
  readonly type: "selfChanged";
  readonly self: SelfView;
}

/**
 * Run one vendor call, once: a page that has run this `commandId` before answers as it did
 * then. Not to be started after `expiresAt`.
 */
export interface Command {
  readonly type: "command";
  readonly commandId: string;
  readonly tipId: string;
  readonly attempt: number;
  readonly call: VendorCall;
  readonly durationSec: number;
  readonly expiresAt: number;
}

/**
 * Stop now: forget commands that wait, make `call` if there is one, start nothing until the
 * next command.
 */
export interface ToysStopped {
  readonly type: "stop";
  readonly call: VendorCall | null;
}

/**
 * To the model: the activation queue. `playing`: tipId of what plays. `nextInS`: null while
 * nothing waits or the toys are stopped. `upcoming`: the first ten, in the order of play; in
 * mode batch those that play together have the same `waitS`.
 */
export interface QueueChanged {
  readonly type: "queueChanged";
  readonly waiting: number;
  readonly playing: string | null;
  readonly paused: boolean;
  readonly nextInS: number | null;
  readonly mode: "fifo" | "priority" | "batch";
  readonly upcoming: ReadonlyArray<QueuedTip>;
}

/**
 * To the tipper: how the own tip fares; after a snapshot for each that is not finished.
 * `state`: queued, playing, done (a toy has reacted) or not_played; `position` counts from 1 while
 * it waits, `waitS` as in a QueuedTip.
 */
export interface ActivationChanged {
  readonly type: "activationChanged";
  readonly tipId: string;
  readonly state: "done" | "not_played" | "playing" | "queued";
  readonly position: number | null;
  readonly waitS: number | null;
  readonly reason: string | null;
}

/** To the model: her toys and levels as the server understood them. */
export interface ModelToysChanged {
  readonly type: "modelToysChanged";
  readonly toys: ReadonlyArray<Toy>;
  readonly levels: ReadonlyArray<Level>;
}

/**
 * To a toy's owner: it is nearly empty (`battery`: percent; once until it is charged), or it is
 * not connected any more.
 */
export interface DeviceWarning {
  readonly type: "deviceWarning";
  readonly deviceId: string;
  readonly name: string;
  readonly kind: "battery" | "connection";
  readonly battery: number | null;
}

/**
 * To a member who reads too slowly: what was left out since the last of these. `sampled`: chat
 * that is lost to this member; `latestOnly`: states that newer ones replaced before they left, so
 * that nothing is missing.
 */
export interface Gap {
  readonly type: "gap";
  readonly sampled: number;
  readonly latestOnly: number;
}

/**
 * A message to this member alone. A page shows a `messageId` once, says `messageDelivered` as
 * it has it and `messageRead` when the member has seen it. `content` is plain text, to be escaped
 * where it is shown. `modelId`: the model whom it is from, to or about.
 */
export interface PrivateMessage {
  readonly type: "privateMessage";
  readonly messageId: string;
  readonly messageType: "public_micro" | "private_custom" | "escalation_auto";
  readonly authorKind: "model" | "viewer" | "system";
  readonly authorId: string;
  readonly authorName: string;
  readonly modelId: string | null;
  readonly mood: "happy" | "sad" | "angry" | "neutral" | "excited" | "anxious" | "unknown";
  readonly moodConfidence: number;
  readonly content: string;
  readonly createdAt: number;
}

/**
 * The `publicMessage` of this id is meant for this member, who says when it is delivered and
 * read. It may come before the message.
 */
export interface ReceiptWanted {
  readonly type: "receiptWanted";
  readonly messageId: string;
}

/**
 * To a buyer, whenever the stage moves: where the own purchase stands. `position` counts from 1
 * and `waitSec` is what is ahead, while it is READY. `refunded`: of an ended one, the tokens that
 * go back.
 */
export interface StagePlace {
  readonly type: "stagePlace";
  readonly purchaseId: string;
  readonly itemName: string;
  readonly state: "CREATED" | "READY" | "STARTED" | "FINISHED" | "ABANDONED" | "CANCELLED";
  readonly position: number | null;
  readonly waitSec: number | null;
  readonly refunded: number | null;
}

/** To a buyer, once: the own purchase is the third in line. */
export interface StageNear {
  readonly type: "stageNear";
  readonly purchaseId: string;
  readonly itemName: string;
  readonly waitSec: number;
}

/** To the model: her whole stage after a move, what is performed first. */
export interface StageChanged {
  readonly type: "stageChanged";
  readonly order: "fifo" | "priority" | "batch";
  readonly entries: ReadonlyArray<StageEntry>;
}

/** To the model's page alone: run one vendor call for her own test. Answered as a `command`. */
export interface ToyTestCommand {
  readonly type: "testCommand";
  readonly commandId: string;
  readonly call: VendorCall;
  readonly durationSec: number;
  readonly expiresAt: number;
}

/** The answer to a tip, over a socket and over HTTP; a repeat gets the same bytes. */
export interface TipReceipt {
  readonly tipId: string;
  readonly amount: number;
  /** The tipper's tokens right after this tip. */
  readonly balance: number;
  readonly itemName: string;
  readonly timestamp: string;
}

/** A viewer's own wishes; they persist. */
export interface Preferences {
  readonly reactToMyTips: boolean;
  readonly feelAllTips: boolean;
}

export interface BroadcastStarted {
  readonly broadcastId: string;
  readonly lovenseMode: "EXTENSION" | "CAM_KIT";
}

/** A test is on its way to her page; `seconds`: how long the call plays. */
export interface ToyTestStarted {
  readonly testId: string;
  readonly rowId: string;
  readonly call: VendorCall;
  readonly fit: Fit;
  readonly seconds: number;
}

/**
 * `next`: for `after`, null on the last page. `viewers`: all, each counted once; the model's
 * page, which is listed, is none. `version`: the change lists since are to be applied.
 */
export interface MemberPage {
  readonly members: ReadonlyArray<MemberView>;
  readonly next: string | null;
  readonly viewers: number;
  readonly version: number;
}

/** What everyone may know of a room. `toysPaused`: the model has stopped all toys. */
export interface RoomView {
  readonly roomId: string;
  readonly modelId: string;
  readonly modelDisplayName: string;
  readonly live: boolean;
  readonly broadcastId: string | null;
  readonly lovenseMode: "EXTENSION" | "CAM_KIT" | null;
  readonly viewerSyncMode: "OFF" | "SHARED_MOMENT" | "VIP_ROOM_SYNC";
  readonly enableLovense: boolean;
  readonly toysPaused: boolean;
  readonly modelToyConnected: boolean;
  readonly tipOptions: ReadonlyArray<TipOption>;
}

/** One button of the viewer's page: an amount and what it does. */
export interface TipOption {
  readonly amount: number;
  readonly description: string;
  readonly hasVibration: boolean;
}

/**
 * What everyone may know of a member. `id`: the same until he leaves, and within this epoch.
 * Who is in no list is offline.
 */
export interface MemberView {
  readonly id: number;
  readonly username: string;
  readonly role: "model" | "moderator" | "viewer";
  readonly membershipTier: "FREE" | "VIP_SILVER" | "VIP_GOLD" | "VIP_PLATINUM" | "VIP_DIAMOND";
  /** Has tipped in this broadcast. */
  readonly tipper: boolean;
  readonly state: "away" | "online";
}

/** Who is writing: the first of them, and how many in all. */
export interface TypingView {
  readonly members: ReadonlyArray<TypingMember>;
  readonly count: number;
}

export interface TypingMember {
  readonly id: number;
  readonly username: string;
}

/** What a member knows of himself. `balance` is null for a model's page. */
export interface SelfView {
  readonly userId: string;
  readonly username: string;
  readonly role: "model" | "moderator" | "viewer";
  readonly membershipTier: "FREE" | "VIP_SILVER" | "VIP_GOLD" | "VIP_PLATINUM" | "VIP_DIAMOND";
  readonly balance: number | null;
  readonly toyConnected: boolean;
  readonly reactToMyTips: boolean;
  readonly feelAllTips: boolean;
  readonly gates: Gates;
  /** A viewer has stopped the own toy; for a model, the room's toys are stopped. */
  readonly toysPaused: boolean;
}

/** Which toggles show. "Connect Your Lovense" and the connection state always do. */
export interface Gates {
  readonly reactToMyTips: boolean;
  readonly feelAllTips: boolean;
}

/** One call of the vendor's script: `method(*args)`, names and order as documented. */
export interface VendorCall {
  readonly integration: "EXTENSION" | "CAM_KIT" | "BASIC_SDK";
  readonly method: string;
  readonly args: ReadonlyArray<unknown>;
}

/**
 * A tip that waits for the toys. `waitS`: seconds until it plays, as far as can be foreseen;
 * null while the toys are stopped.
 */
export interface QueuedTip {
  readonly tipId: string;
  readonly username: string;
  readonly amount: number;
  readonly waitS: number | null;
}

/**
 * One toy, normalised. `battery` is a percentage 0..100, null where it is not reported.
 * `functions`: those that a strength can drive, as reported; empty where it is the type's.
 */
export interface Toy {
  readonly toyId: string;
  readonly name: string;
  readonly toyType: string;
  readonly nickname: string;
  readonly connected: boolean;
  readonly battery: number | null;
  readonly functions: ReadonlyArray<string>;
  readonly firmware: string;
  /** 0..20, as its owner has limited it. */
  readonly maxStrength: number;
  /** Its owner has not taken it out. */
  readonly enabled: boolean;
  /** Its owner has taken out some of its functions. */
  readonly limited: boolean;
  /** Connected, but the last command to it failed. */
  readonly faulty: boolean;
}

/** Tips of `amountMin`..`amountMax` tokens run the toy at `strength` (0..20) for `seconds`. */
export interface Level {
  readonly name: string;
  readonly amountMin: number;
  readonly amountMax: number;
  readonly strength: number;
  readonly seconds: number;
}

/** One purchase on the stage. `position` is null for what is performed. */
export interface StageEntry {
  readonly purchaseId: string;
  readonly username: string;
  readonly itemName: string;
  readonly tokens: number;
  readonly drivesToy: boolean;
  readonly durationSec: number;
  readonly state: "CREATED" | "READY" | "STARTED" | "FINISHED" | "ABANDONED" | "CANCELLED";
  readonly position: number | null;
  readonly waitSec: number | null;
}

/**
 * How well a call expresses what was wanted. `level`: the level or special that is used.
 * The differences are absolute: strength steps of 0..20, and seconds.
 */
export interface Fit {
  readonly kind: "exact" | "nearest" | "none";
  readonly level: string | null;
  readonly strengthDifference: number | null;
  readonly secondsDifference: number | null;
}

export type HistoryEvent =
  | TipNotice
  | PublicMessage;

export type ServerFrame =
  | Ok
  | Error
  | TipNotice
  | PublicMessage
  | RoomChanged
  | PresenceChanged
  | TypingChanged
  | MoodChanged
  | Snapshot
  | SelfChanged
  | Command
  | ToysStopped
  | QueueChanged
  | ActivationChanged
  | ModelToysChanged
  | DeviceWarning
  | Gap
  | PrivateMessage
  | ReceiptWanted
  | StagePlace
  | StageNear
  | StageChanged
  | ToyTestCommand;

/** What is asked -> the `result` of the `ok` to it; null for what is not named here. */
export interface Results {
  tip: TipReceipt;
  setPreferences: Preferences;
  startBroadcast: BroadcastStarted;
  testActivation: ToyTestStarted;
  listMembers: MemberPage;
}

/** What a client hears beside answers, by its `type`. */
export interface ServerEvents {
  tipNotice: TipNotice & Late;
  publicMessage: PublicMessage & Late;
  roomChanged: RoomChanged;
  presenceChanged: PresenceChanged;
  typingChanged: TypingChanged;
  moodChanged: MoodChanged;
  snapshot: Snapshot;
  selfChanged: SelfChanged;
  command: Command;
  stop: ToysStopped;
  queueChanged: QueueChanged;
  activationChanged: ActivationChanged;
  modelToysChanged: ModelToysChanged;
  deviceWarning: DeviceWarning;
  gap: Gap;
  privateMessage: PrivateMessage;
  receiptWanted: ReceiptWanted;
  stagePlace: StagePlace;
  stageNear: StageNear;
  stageChanged: StageChanged;
  testCommand: ToyTestCommand;
}
