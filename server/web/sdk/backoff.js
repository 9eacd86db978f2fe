/**
 * When to come back after a lost connection: exponential, with full jitter, so that the members
 * of a room whose server restarted do not all knock at the same moment.
 */

const FIRST_MS = 500;
const CEILING_MS = 20_000;

/**
 * @param {number} attempt lost connections in a row, from 0
 * @param {() => number} random uniform in [0, 1)
 * @returns {number} milliseconds to wait, uniform in [0, min(20 s, 0.5 s * 2^attempt))
 */
export function backoffMs(attempt, random) {
  return random() * Math.min(CEILING_MS, FIRST_MS * 2 ** attempt);
}
