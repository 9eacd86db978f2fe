/**
 * What a member's pages have started, and how it went: one entry in localStorage per command, so
 * that two tabs which write at the same time do not undo each other. Bounded, and with an end.
 */

/** More commands than a server repeats by itself (30 activations a minute, for 10 min). */
const REMEMBERED_MAX = 512;
/** A dead letter keeps its commandId when an admin sends it again, as long as its broadcast runs. */
const REMEMBERED_MS = 24 * 3600 * 1000;

/** @typedef {{state: "started" | "activated" | "failed", code?: string}} Entry */

export class CommandLog {
  #prefix;

  /** @param {string} member */
  constructor(member) {
    this.#prefix = `tiproom.command.${member}.`;
  }

  /** @param {string} commandId  @returns {Entry | undefined} */
  get(commandId) {
    const stored = localStorage.getItem(this.#prefix + commandId);
    if (stored === null) return undefined;
    const { atMs, ...entry } = JSON.parse(stored);
    return atMs > Date.now() - REMEMBERED_MS ? entry : undefined;
  }

  /** @param {string} commandId  @param {Entry} entry */
  set(commandId, entry) {
    const key = this.#prefix + commandId;
    const isNew = localStorage.getItem(key) === null;
    if (isNew) this.#forgetOld(REMEMBERED_MAX - 1);
    localStorage.setItem(key, JSON.stringify({ ...entry, atMs: Date.now() }));
  }

  /** Leaves the newest `count` that have not ended. */
  #forgetOld(count) {
    const kept = Object.keys(localStorage)
      .filter((key) => key.startsWith(this.#prefix))
      .map((key) => ({ key, atMs: JSON.parse(localStorage.getItem(key)).atMs }))
      .sort((one, other) => other.atMs - one.atMs);
    const endMs = Date.now() - REMEMBERED_MS;
    for (const [at, { key, atMs }] of kept.entries()) {
      if (at >= count || atMs <= endMs) localStorage.removeItem(key);
    }
  }
}
