/**
 * Where a client is in its room's history: the epoch, and the offset up to which it has all. Every
 * history event is taken exactly once, and what was lost is known.
 */
export class Place {
  /** @type {string | null} */
  #epoch = null;
  #offset = 0;

  /** @returns {{epoch: string, offset: number} | undefined} for `connect`; not before a snapshot */
  get resume() {
    return this.#epoch === null ? undefined : { epoch: this.#epoch, offset: this.#offset };
  }

  /**
   * A snapshot, whose missed events are taken in with it.
   *
   * @param {{epoch: string, offset: number, recovered: boolean}} snapshot
   * @returns {number | null} how many events were lost; null: some perhaps, and nobody knows
   */
  restart({ epoch, offset, recovered }) {
    const isFirst = this.#epoch === null;
    const isSame = this.#epoch === epoch;
    const lost = isFirst || recovered ? 0 : isSame ? offset - this.#offset : null;
    this.#epoch = epoch;
    this.#offset = offset;
    return lost;
  }

  /**
   * The next history event.
   *
   * @param {{epoch: string, offset: number}} event
   * @returns {number} how many before it were lost; -1: it is here already
   */
  advance({ epoch, offset }) {
    if (epoch !== this.#epoch) throw new Error("an event of another epoch than the snapshot's");
    if (offset <= this.#offset) return -1;
    const lost = offset - this.#offset - 1;
    this.#offset = offset;
    return lost;
  }
}
