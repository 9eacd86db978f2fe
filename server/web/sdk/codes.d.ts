import type { CloseName, ErrorCode } from "./frames.js";

type Cause = "client" | "server" | "state";

/** `retry`: the same request may succeed later, unchanged. `text`: words to show. */
export const ERRORS: Readonly<
  Record<ErrorCode, { readonly retry: boolean; readonly cause: Cause; readonly text: string }>
>;
export const CLOSES: Readonly<
  Record<CloseName, { readonly code: number; readonly cause: Cause; readonly text: string }>
>;
/** Events that have an offset of their own, so that a jump is a loss. */
export const HISTORY_EVENTS: ReadonlyArray<string>;
/** Whether a client that was closed with `code` comes back. */
export function reconnects(code: number): boolean;
