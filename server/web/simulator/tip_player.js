/**
 * SIMULATOR. What the Extension and Cam Kit do with tips: one after another, each for as long and
 * as strongly as the model's own levels say.
 *
 * Both products live outside the page (a browser extension, a server), so a reload of the page
 * does not end what plays or waits: it is kept in sessionStorage.
 * Events: `queue` (detail: {running, queue}, lists of tips), `message` (detail: a public line).
 */
import { levelProgram, presetProgram } from "./simulated_toy.js";

/**
 * @typedef {{amount: number, tipperName: string}} WaitingTip
 *
 * @typedef {object} RunningTip
 * @property {number} amount
 * @property {string} tipperName
 * @property {number} time seconds
 * @property {number | null} level 1..n
 * @property {string | null} special
 * @property {number} strength 0..20
 * @property {number} endsAtMs
 */

export class TipPlayer extends EventTarget {
  #toy;
  #levels;
  #key;
  #timer = 0;
  /** @type {{running: RunningTip | null, queue: WaitingTip[], taken: number}} */
  #state;

  /** @param {{toy: import("./simulated_toy.js").SimulatedToy,
   *           levels: import("./model_levels.js").ModelLevels, owner: string}} options */
  constructor({ toy, levels, owner }) {
    super();
    this.#toy = toy;
    this.#levels = levels;
    this.#key = `tiproom.simulator.tips.${owner}`;
    const stored = sessionStorage.getItem(this.#key);
    this.#state = stored === null ? { running: null, queue: [], taken: 0 } : JSON.parse(stored);
    this.#toy.addEventListener("change", () => {
      if (!this.#toy.connected && this.#state.running !== null) this.#end();
    });
    this.#waitForEnd();
  }

  get toy() {
    return this.#toy;
  }

  get levels() {
    return this.#levels;
  }

  /** How many tips the toy has reacted to in this tab's life. */
  get taken() {
    return this.#state.taken;
  }

  /** @returns {{running: RunningTip[], queue: WaitingTip[]}} */
  get queue() {
    const { running, queue } = this.#state;
    return { running: running === null ? [] : [running], queue: [...queue] };
  }

  /** @param {number} amount  @param {string} tipperName */
  receive(amount, tipperName) {
    const reaction = this.#levels.reactionTo(amount);
    if (reaction?.special === "clear") {
      this.#state = { ...this.#state, running: null, queue: [] };
      this.#toy.stop();
      this.#changed();
    } else if (reaction !== null && this.#toy.connected) {
      this.#state.queue.push({ amount, tipperName });
      if (this.#state.running === null) this.#next();
      else this.#changed();
    }
  }

  #next() {
    const tip = this.#state.queue.shift();
    const reaction = tip === undefined ? null : this.#levels.reactionTo(tip.amount);
    if (tip === undefined || reaction === null || !this.#toy.connected) {
      this.#state.running = null;
      if (!this.#toy.connected) this.#state.queue = [];
      this.#changed();
      return;
    }
    const { seconds, level = null, special = null, strength = 20 } = reaction;
    const endsAtMs = Date.now() + seconds * 1000;
    this.#state.running = { ...tip, time: seconds, level, special, strength, endsAtMs };
    this.#state.taken += 1;
    this.#toy.play(
      special === null ? levelProgram(strength, seconds) : presetProgram(special, seconds),
    );
    this.#changed();
    const detail =
      `My LOVENSE ${this.#toy.name} is now reacting to ${tip.tipperName}'s tip. ` +
      `It will stop after ${seconds} sec!`;
    this.dispatchEvent(new CustomEvent("message", { detail }));
  }

  #end() {
    this.#state.running = null;
    this.#next();
  }

  #waitForEnd() {
    clearTimeout(this.#timer);
    const { running } = this.#state;
    if (running === null) return;
    this.#timer = setTimeout(() => this.#end(), Math.max(0, running.endsAtMs - Date.now()));
  }

  #changed() {
    sessionStorage.setItem(this.#key, JSON.stringify(this.#state));
    this.#waitForEnd();
    this.dispatchEvent(new CustomEvent("queue", { detail: this.queue }));
  }
}
