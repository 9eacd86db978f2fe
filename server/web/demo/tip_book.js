/**
 * The viewer's own tips on this page and how each fares. Event `change`.
 *
 * A tip keeps its tipId until it is answered, through lost connections (the client asks again) and
 * through a reload of the page (kept in sessionStorage): it is paid once, whatever happens. How it
 * fares is heard as it happens; what ended while nobody listened is looked up.
 */

const SHOWN_MAX = 8;
/** After a snapshot the server tells of every tip that is not finished. Then one is that it has not
 * told of. */
const HEARD_BY_MS = 500;

/**
 * @typedef {object} TipEntry
 * @property {string} tipId
 * @property {number} amount
 * @property {string} broadcastId
 * @property {"sending" | "settled" | "queued" | "playing" | "done" | "not_played" | "unknown"} state
 *   unknown: the server could not say whether it settled; the same tip can be sent again
 * @property {string} [itemName]
 * @property {number | null} [position]
 * @property {number | null} [waitS]
 * @property {string | null} [reason]
 */

export class TipBook extends EventTarget {
  /** @type {TipEntry[]} newest first */
  entries = [];
  #client;
  #key;
  #read;
  /** tipIds of which the server has said nothing since the last snapshot */
  #unheard = new Set();

  /**
   * @param {import("../sdk/client.js").TiproomClient} client
   * @param {string} owner
   * @param {(path: string) => Promise<any>} read asks the server, as the viewer
   */
  constructor(client, owner, read) {
    super();
    this.#client = client;
    this.#key = `tiproom.tips.${owner}`;
    this.#read = read;
    client.addEventListener("activationChanged", ({ detail }) => {
      const { tipId, state, position, waitS, reason } = detail;
      this.#unheard.delete(tipId);
      this.#update(tipId, { state, position, waitS, reason });
    });
    client.addEventListener("snapshot", () => {
      this.#unheard = new Set(this.entries.filter(isUnderWay).map(({ tipId }) => tipId));
      if (this.#unheard.size > 0) setTimeout(() => this.#lookUp(), HEARD_BY_MS);
    });
  }

  /** Send again what an earlier life of this page left unanswered. Rejects like `send`. */
  async sendUnanswered() {
    this.entries = JSON.parse(sessionStorage.getItem(this.#key) ?? "[]");
    await Promise.all(this.entries.filter(isOpen).map((entry) => this.#ask(entry)));
  }

  /**
   * @param {number} amount  @param {string} broadcastId
   * @returns {Promise<void>} rejects with RequestError where the tip was refused
   */
  send(amount, broadcastId) {
    const entry = { tipId: crypto.randomUUID(), amount, broadcastId, state: "sending" };
    this.entries = [
      entry,
      ...this.entries.filter((each, index) => index < SHOWN_MAX - 1 || isOpen(each)),
    ];
    return this.#ask(entry);
  }

  /** The same tip once more, after an unknown outcome. @param {TipEntry} entry */
  sendAgain(entry) {
    return this.#ask(entry);
  }

  async #ask({ tipId, amount, broadcastId }) {
    this.#update(tipId, { state: "sending" });
    const frame = { type: "tip", tipId, amount, broadcastId };
    try {
      const receipt = await this.#client.request(frame, { resend: true });
      const entry = this.#find(tipId);
      // An activation's state may have overtaken the receipt.
      this.#update(tipId, {
        itemName: receipt.itemName,
        state: entry?.state === "sending" ? "settled" : entry?.state,
      });
    } catch (error) {
      // Any other error may hide that an earlier sending was settled and its answer lost: the tip
      // stays, to be sent again under its id. Another id could pay twice.
      if (NOT_SETTLED.has(error.code)) {
        this.entries = this.entries.filter((each) => each.tipId !== tipId);
        this.#changed();
      } else {
        this.#update(tipId, { state: "unknown" });
      }
      throw error;
    }
  }

  async #lookUp() {
    for (const tipId of this.#unheard) {
      const { activations } = await this.#read(`/lovense/activations?tipId=${tipId}`);
      if (activations.length === 0 || !this.#unheard.delete(tipId)) continue;
      const reached = activations.some(({ state }) => ["ACTIVATED", "MERGED"].includes(state));
      const [{ reason }] = activations;
      this.#update(tipId, reached ? { state: "done" } : { state: "not_played", reason });
    }
  }

  #find(tipId) {
    return this.entries.find((each) => each.tipId === tipId);
  }

  #update(tipId, change) {
    this.entries = this.entries.map((each) =>
      each.tipId === tipId ? { ...each, ...change } : each,
    );
    this.#changed();
  }

  #changed() {
    sessionStorage.setItem(this.#key, JSON.stringify(this.entries));
    this.dispatchEvent(new Event("change"));
  }
}

/** The ledger has looked: no tip of this id stands, or it is another one. */
const NOT_SETTLED = new Set([
  "INSUFFICIENT_TOKENS",
  "TIP_CONFLICT",
  "INVALID_FIELD",
  "FORBIDDEN",
  "BROADCAST_STALE",
  "ROOM_OFFLINE",
  "USER_UNKNOWN",
]);

/** Settled, and not yet finished. */
function isUnderWay({ state }) {
  return state === "settled" || state === "queued" || state === "playing";
}

function isOpen({ state }) {
  return state === "sending" || state === "unknown";
}
