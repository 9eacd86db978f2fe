/** Something that the server answers, read again whenever it may have changed. */

/** A slider that is dragged changes things many times a second. */
const SETTLE_MS = 250;

export class SettledRead {
  /** As last answered; null before that, and while the server does not answer. */
  value = null;
  #read;
  #changed;
  #timer = 0;
  #reading = false;
  #again = false;

  /**
   * @param {object} options
   * @param {() => Promise<any>} options.read asks the server
   * @param {() => void} options.changed `value` has
   */
  constructor({ read, changed }) {
    this.#read = read;
    this.#changed = changed;
  }

  /** Something has changed, and perhaps more does: asks the server once it has come to rest. */
  reload() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), SETTLE_MS);
  }

  async #ask() {
    this.#again = true;
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#again) {
        this.#again = false;
        this.value = await this.#read();
      }
    } catch {
      // Not an alert: nothing that its reader did has failed. What shows it says that it is not
      // known.
      this.value = null;
    }
    this.#reading = false;
    this.#changed();
  }
}
