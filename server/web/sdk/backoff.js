/**
 * When to come back after a lost connection. The server spreads a crowd over a window, by the close
 * reason or, should it be gone without a word, by what it said before; attempts that fail are
 * repeated exponentially, with full jitter.
 */

const FIRST_MS = 500;
const CEILING_MS = 20_000;
const TOLD = /; in (\d+(?:\.\d+)?) s$/;

/**
 * @param {string} reason of a close frame
 * @returns {{words: string, toldMs: number | null}} what can be shown of it, and when to come back
 *   where it says so
 */
export function readReason(reason) {
  const found = TOLD.exec(reason);
  if (found === null) return { words: reason, toldMs: null };
  return { words: reason.slice(0, found.index), toldMs: Number(found[1]) * 1000 };
}

/**
 * @param {object} lost
 * @param {number} lost.attempt lost connections in a row, from 0
 * @param {number | null} lost.toldMs what the close said; it was drawn for this client alone
 * @param {number} lost.windowMs to spread over where the close said nothing, 0 for none
 * @param {() => number} lost.random uniform in [0, 1)
 * @returns {number} milliseconds to wait: as told the first time, later never less; otherwise
 *   uniform in [0, min(20 s, 0.5 s * 2^attempt)), or in the window if that is larger
 */
export function comeBackMs({ attempt, toldMs, windowMs, random }) {
  if (toldMs !== null && attempt === 0) return toldMs;
  const ceilingMs = Math.max(Math.min(CEILING_MS, FIRST_MS * 2 ** attempt), windowMs);
  return Math.max(random() * ceilingMs, toldMs ?? 0);
}
