import type {
  ClientFrame,
  Connect,
  ErrorCode,
  ReportedSettings,
  ReportedToy,
  Results,
  RoomView,
  SelfView,
  ServerEvents,
} from "./frames.js";

export type * from "./frames.js";

/** waiting: will come back after `retryInMs`; refused: the server does not want this client back. */
export interface Status {
  readonly state: "idle" | "connecting" | "online" | "waiting" | "refused" | "closed";
  /** Of the close, where there was one. */
  readonly code?: number;
  /** The server's words, fit to be shown. */
  readonly reason?: string;
  readonly retryInMs?: number;
}

/** Events of the room that this client will not get. */
export interface Lost {
  /** How many; null: some perhaps, the room itself has started anew. */
  readonly count: number | null;
}

export interface Credentials {
  readonly token: string;
  /** Milliseconds since 1970, server's clock; absent: not known. */
  readonly expiresAtMs?: number;
}

/** What is heard: each is a `CustomEvent` whose `detail` is this. */
export interface ClientEvents extends ServerEvents {
  status: Status;
  lost: Lost;
  /** `stopWaits` has. */
  stopChanged: null;
}

type WithoutRef<F> = F extends unknown ? Omit<F, "ref"> : never;

/** What can be asked; the client gives it a ref. */
export type Question = WithoutRef<Exclude<Extract<ClientFrame, { ref: number }>, Connect>>;

/** What has no answer. */
export type Telling = Exclude<ClientFrame, { ref: number }>;

/** The result of the `ok` to a question. */
export type ResultOf<Type> = Type extends keyof Results ? Results[Type] : null;

export class RequestError extends Error {
  constructor(error: {
    code: ErrorCode | "DISCONNECTED" | "CLOSED";
    text: string;
    retry?: boolean;
    field?: string | null;
    retryAfterS?: number | null;
  });
  /** The server's, or DISCONNECTED or CLOSED of the client's own. */
  readonly code: ErrorCode | "DISCONNECTED" | "CLOSED";
  /** The same request may succeed later, unchanged. */
  readonly retry: boolean;
  readonly field: string | null;
  /** Not sooner. */
  readonly retryAfterS: number | null;
}

export interface ClientOptions {
  /** The room's WebSocket address: `wss://host/rooms/{roomId}`. */
  readonly url: string;
  /** Called before the first connection and whenever the token nears its end. */
  readonly fetchCredentials: () => Promise<Credentials>;
  /** A model's page only. */
  readonly integration?: Connect["integration"];
  /** The same across reloads of one page. */
  readonly pageId?: string;
  /** Names the member: with it a stop outlives the page that it was pressed on. */
  readonly storageKey?: string;
  readonly codec?: "msgpack" | "json";
  /** For the jitter; uniform in [0, 1). */
  readonly random?: () => number;
}

/** An EventTarget that knows its events: of the plain one any name and any listener would do. */
declare class RoomEvents {
  addEventListener<Type extends keyof ClientEvents>(
    type: Type,
    listener: (event: CustomEvent<ClientEvents[Type]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof ClientEvents>(
    type: Type,
    listener: (event: CustomEvent<ClientEvents[Type]>) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  dispatchEvent(event: Event): boolean;
}

/** One member's connection to a room; it comes back by itself. */
export class TiproomClient extends RoomEvents {
  constructor(options: ClientOptions);
  readonly status: Status;
  /** The latest room and own state; null until the first snapshot. */
  readonly room: RoomView | null;
  readonly self: SelfView | null;
  readonly viewers: number;
  /** A stop was pressed that the server has not confirmed. */
  readonly stopWaits: boolean;
  /** Connect, and stay connected until `close` or a refusal. */
  start(): void;
  /** Leave for good. Open requests are rejected with CLOSED. */
  close(): void;
  /** The server's clock, milliseconds since 1970. */
  serverNowMs(): number;
  /**
   * Rejects with RequestError. `resend`: survive a lost connection and ask again after it; only for
   * what the server answers the same way twice (a tip with its tipId, a stop).
   */
  request<Q extends Question>(
    frame: Q & { readonly ref?: never },
    options?: { readonly resend?: boolean },
  ): Promise<ResultOf<Q["type"]>>;
  /**
   * A model: all toys of the room; a viewer: the own. Told now, or ahead of all else once there is a
   * connection, on this page or a later one, and again until the server has done it.
   */
  stopToys(): void;
  /** The opposite; also of a stop that is still on its way. Rejects with RequestError. */
  resumeToys(): Promise<void>;
  /** Dropped while there is no connection: the server asks again for what it still needs. */
  tell(frame: Telling): void;
  /** A viewer's toggles; `self` has them when this resolves. */
  setPreferences(change: { reactToMyTips?: boolean; feelAllTips?: boolean }): Promise<void>;
  /** Nobody looks at this page; said again after every reconnect. */
  setAway(away: boolean): void;
  /** All toys that the page knows; said again after every reconnect. */
  reportToys(toys: ReadonlyArray<ReportedToy>): void;
  /** The model's own levels; said again after every reconnect. */
  reportSettings(settings: ReportedSettings | null): void;
}
