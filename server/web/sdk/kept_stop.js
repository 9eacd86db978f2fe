/**
 * A stop that the server has not confirmed yet. Kept in localStorage, so that it outlives the page
 * that it was pressed on: whichever of the member's pages is connected next delivers it.
 */

/** What waited for the toys when it was pressed has expired by then, too. */
const KEPT_MS = 10 * 60 * 1000;

export class KeptStop {
  #key;

  /** @param {string | undefined} member undefined: no page of theirs tells itself apart, so that
   *   a stop is kept as long as this page lives */
  constructor(member) {
    this.#key = member === undefined ? null : `tiproom.stop.${member}`;
  }

  keep() {
    if (this.#key !== null) localStorage.setItem(this.#key, String(Date.now()));
  }

  forget() {
    if (this.#key !== null) localStorage.removeItem(this.#key);
  }

  /** @returns {boolean} whether an earlier page, or another tab, left one */
  get waits() {
    const pressedAtMs = this.#key === null ? null : localStorage.getItem(this.#key);
    return pressedAtMs !== null && Number(pressedAtMs) > Date.now() - KEPT_MS;
  }
}
