/**
 * SIMULATOR. One toy that exists only on the screen.
 *
 * It is paired and switched on or off (kept in localStorage, as a real toy keeps its state when
 * the page is closed) and plays one program at a time (kept in sessionStorage: a real toy goes on
 * while the page reloads). Its strength is a function of the time since the program began.
 * Event `change`: anything that can be seen has changed.
 */

const STRENGTH_MAX = 20;
const RAMP_MS = 150;

/** What the vendor's presets feel like, roughly: strengths 0..20, one every 150 ms. */
export const PRESETS = {
  pulse: [18, 18, 4, 0, 18, 18, 4, 0],
  wave: [2, 5, 8, 11, 14, 17, 20, 17, 14, 11, 8, 5],
  fireworks: [3, 6, 10, 20, 8, 20, 5, 20, 2, 0],
  earthquake: [14, 20, 11, 19, 20, 13, 17, 20, 10, 18],
};

/**
 * @typedef {object} Program
 * @property {number[]} values strengths 0..20, played round and round
 * @property {number} intervalMs how long each value lasts
 * @property {number} seconds 0: until stopped
 */

export class SimulatedToy extends EventTarget {
  id;
  name;
  type;
  #key;
  #connected;
  #battery;
  /** @type {(Program & {startedAtMs: number}) | null} */
  #playing = null;
  #timer = 0;
  #strength = 0;

  /**
   * @param {object} options
   * @param {string} options.owner names the stored state
   * @param {boolean} options.connected at the very first start
   * @param {string} [options.name]  @param {string} [options.type] lower case, "lush"
   */
  constructor({ owner, connected, name = "Lush 3", type = "lush" }) {
    super();
    this.id = `sim${owner.replaceAll(/[^a-z0-9]/gi, "")}`;
    this.name = name;
    this.type = type;
    this.#key = `tiproom.simulator.toy.${owner}`;
    const stored = JSON.parse(localStorage.getItem(this.#key) ?? "{}");
    this.#connected = stored.connected ?? connected;
    this.#battery = stored.battery ?? 80;
    this.#playing = JSON.parse(sessionStorage.getItem(this.#key) ?? "null");
    this.#tick();
  }

  get connected() {
    return this.#connected;
  }

  set connected(connected) {
    this.#connected = connected;
    if (!connected) this.#playing = null;
    this.#tick();
  }

  /** Percent, 0..100. */
  get battery() {
    return this.#battery;
  }

  set battery(percent) {
    this.#battery = percent;
    this.#store();
    this.#changed();
  }

  /** 0..20, now. */
  get strength() {
    return this.#strength;
  }

  /** @returns {boolean} whether a program plays, also while its strength is 0 for a moment */
  get playing() {
    return this.#playing !== null;
  }

  /** @param {Program} program replaces what plays */
  play(program) {
    if (!this.#connected) return;
    this.#playing = { ...program, startedAtMs: Date.now() };
    this.#store();
    this.#tick();
  }

  stop() {
    this.#playing = null;
    this.#tick();
  }

  #tick() {
    clearTimeout(this.#timer);
    const now = this.#now();
    if (now === null) {
      this.#playing = null;
      this.#strength = 0;
      this.#store();
    } else {
      this.#strength = Math.min(now.strength, STRENGTH_MAX);
      this.#timer = setTimeout(() => this.#tick(), now.nextInMs);
    }
    this.#changed();
  }

  #now() {
    if (this.#playing === null) return null;
    const { values, intervalMs, seconds, startedAtMs } = this.#playing;
    const elapsedMs = Date.now() - startedAtMs;
    const leftMs = seconds === 0 ? Infinity : seconds * 1000 - elapsedMs;
    if (leftMs <= 0) return null;
    const step = Math.floor(elapsedMs / intervalMs);
    const stepEndsInMs = values.length === 1 ? Infinity : (step + 1) * intervalMs - elapsedMs;
    const nextInMs = Math.min(leftMs, stepEndsInMs, 60_000);
    return { strength: values[step % values.length], nextInMs };
  }

  #store() {
    localStorage.setItem(
      this.#key,
      JSON.stringify({ connected: this.#connected, battery: this.#battery }),
    );
    if (this.#playing === null) sessionStorage.removeItem(this.#key);
    else sessionStorage.setItem(this.#key, JSON.stringify(this.#playing));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {number} strength 0..20  @param {number} seconds  @returns {Program} */
export function levelProgram(strength, seconds) {
  return { values: [strength], intervalMs: RAMP_MS, seconds };
}

/** @param {string} name  @param {number} seconds  @returns {Program} */
export function presetProgram(name, seconds) {
  return { values: PRESETS[name] ?? PRESETS.pulse, intervalMs: RAMP_MS, seconds };
}
