/**
 * SIMULATOR. The model's own settings: which tip amount moves the toy how strongly and how long.
 *
 * With the Extension and with Cam Kit these belong to the model and live in the vendor's product;
 * a site can only read them. Here they are a table that the model's page can edit, kept in
 * localStorage. Event `change`: the table has changed.
 */

/** As a model would set them for the demo's tip menu. min and max: tokens; time: seconds; rLevel
 * and vLevel: rotation and vibration, 0..20. */
const LEVELS = {
  level1: { min: 1, max: 29, time: 3, rLevel: 0, vLevel: 5 },
  level2: { min: 30, max: 59, time: 5, rLevel: 0, vLevel: 10 },
  level3: { min: 60, max: 199, time: 8, rLevel: 0, vLevel: 16 },
  level4: { min: 200, max: 499, time: 15, rLevel: 0, vLevel: 12 },
  level5: { min: 500, max: 99999, time: 30, rLevel: 0, vLevel: 20 },
};

/** time: seconds; token: the exact amount that plays it. `clear` empties the queue and stops. */
const SPECIALS = {
  pulse: { time: 10, token: 41 },
  wave: { time: 10, token: 42 },
  fireworks: { time: 10, token: 43 },
  earthquake: { time: 10, token: 44 },
  clear: { token: 777 },
};

export class ModelLevels extends EventTarget {
  #key;
  #levels;
  #clearPriced;

  /** @param {string} owner names the stored table */
  constructor(owner) {
    super();
    this.#key = `tiproom.simulator.levels.${owner}`;
    this.#levels = JSON.parse(localStorage.getItem(this.#key) ?? "null") ?? LEVELS;
    this.#clearPriced = localStorage.getItem(`${this.#key}.clear`) !== "none";
  }

  /** Whether `clear` has a price: without one these products have no stop. */
  get clearPriced() {
    return this.#clearPriced;
  }

  set clearPriced(priced) {
    this.#clearPriced = priced;
    localStorage.setItem(`${this.#key}.clear`, priced ? "priced" : "none");
    this.dispatchEvent(new Event("change"));
  }

  /** A copy; each level as in LEVELS above. @returns {Record<string, Record<string, number>>} */
  get levels() {
    return structuredClone(this.#levels);
  }

  get specials() {
    const { clear, ...others } = structuredClone(SPECIALS);
    return this.#clearPriced ? { ...others, clear } : others;
  }

  /**
   * @param {string} name  @param {"min" | "max" | "time" | "vLevel"} field
   * @param {number} value
   */
  set(name, field, value) {
    this.#levels = { ...this.#levels, [name]: { ...this.#levels[name], [field]: value } };
    localStorage.setItem(this.#key, JSON.stringify(this.#levels));
    this.dispatchEvent(new Event("change"));
  }

  /** Puts another table in place of this one. @param {Record<string, Record<string, number>>} levels
   * as in LEVELS above */
  replace(levels) {
    this.#levels = structuredClone(levels);
    localStorage.setItem(this.#key, JSON.stringify(this.#levels));
    this.dispatchEvent(new Event("change"));
  }

  reset() {
    this.#levels = LEVELS;
    this.#clearPriced = true;
    for (const key of [this.#key, `${this.#key}.clear`]) localStorage.removeItem(key);
    this.dispatchEvent(new Event("change"));
  }

  /**
   * @param {number} amount tokens
   * @returns {{special: string, seconds: number}
   *   | {level: number, strength: number, seconds: number} | null} null: the toy does not react
   */
  reactionTo(amount) {
    for (const [name, { token, time }] of Object.entries(this.specials)) {
      if (token === amount) return { special: name, seconds: time ?? 0 };
    }
    for (const [name, { min, max, time, vLevel }] of Object.entries(this.#levels)) {
      if (amount >= min && amount <= max && vLevel > 0 && time > 0) {
        return { level: Number(name.slice("level".length)), strength: vLevel, seconds: time };
      }
    }
    return null;
  }
}
