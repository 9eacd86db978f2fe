/**
 * When to come back after a lost connection: exponential, with full jitter, so that the members
 * of a room whose server restarted do not all knock at the same moment.
 */

const FIRST_MS = 500;
const CEILING_MS = 20_000;

/** Codes of the server's own range that mean "do not come back" (protocol: close codes). */
const REFUSED_MIN = 4500;
const REFUSED_MAX = 4999;

/**
 * @param {number} attempt lost connections in a row, from 0
 * @param {() => number} random uniform in [0, 1)
 * @returns {number} milliseconds to wait, uniform in [0, min(20 s, 0.5 s * 2^attempt))
 */
export function backoffMs(attempt, random) {
  return random() * Math.min(CEILING_MS, FIRST_MS * 2 ** attempt);
}

/**
 * @param {number} code a WebSocket close code
 * @returns {boolean} whether a client that was closed with it reconnects
 */
export function reconnects(code) {
  return code < REFUSED_MIN || code > REFUSED_MAX;
}
