/**
 * One member's connection to a room.
 *
 * Connects, asks (`request`, answered once by its ref), listens (one DOM event per server frame),
 * comes back by itself when the connection is lost, and says again after every snapshot what the
 * server forgets with a socket: toys and settings. Read `start`, then `#onFrame`.
 *
 * Events: `status` ({@link Status}), `lost` ({@link Lost}), `stopChanged` (`stopWaits` has), and every
 * server frame but the answers under its `type`; the frame is the event's `detail`. What was missed
 * while there was no connection comes as the events that it was, with `late: true`, before the
 * `snapshot` that brought it. Types: client.d.ts, and frames.d.ts for the frames.
 */
import { comeBackMs, readReason } from "./backoff.js";
import { CODECS } from "./codec.js";
import { CLOSES, HISTORY_EVENTS, reconnects } from "./codes.js";
import { KeptStop } from "./kept_stop.js";
import { Place } from "./place.js";

/** A question without an answer for this long means that the connection is dead. */
const ANSWER_TIMEOUT_MS = 10_000;
/** A connection that lasted this long was good: the next loss starts again with short waits. */
const STABLE_AFTER_MS = 10_000;
/** How long before its end a token is replaced, or half its life if that is less; but not more
 * often than the floor, should an issuer give tokens that end at once. */
const TOKEN_MARGIN_MS = 60_000;
const TOKEN_REFRESH_FLOOR_MS = 5_000;
const TIMER_MAX_MS = 2 ** 31 - 1;

/** What a lost connection without a close frame looks like (RFC 6455, never on the wire). */
const CLOSE_ABNORMAL = 1006;

/**
 * @typedef {object} Status
 * @property {"idle" | "connecting" | "online" | "waiting" | "refused" | "closed"} state
 *   waiting: will come back after `retryInMs`; refused: the server does not want this client back
 * @property {number} [code] close code, where there was a close
 * @property {string} [reason] the server's words, fit to be shown
 * @property {number} [retryInMs]
 *
 * @typedef {object} Lost Events of the room that this client will not get
 * @property {number | null} count how many; null: some perhaps, the room itself has started anew
 */

/**
 * @typedef {{type: string, [field: string]: any}} Frame
 *
 * @typedef {object} Credentials
 * @property {string} token
 * @property {number} [expiresAtMs] milliseconds since 1970, server's clock; absent: not known
 */

/** Why a request was not done. `code` is the server's, or DISCONNECTED or CLOSED of our own. */
export class RequestError extends Error {
  /** @param {{code: string, text: string, retry?: boolean, field?: string | null,
   *           retryAfterS?: number | null}} error */
  constructor({ code, text, retry = false, field = null, retryAfterS = null }) {
    super(text);
    this.name = "RequestError";
    this.code = code;
    this.retry = retry;
    this.field = field;
    this.retryAfterS = retryAfterS;
  }
}

export class TiproomClient extends EventTarget {
  /** @type {Status} */
  status = { state: "idle" };
  /** The latest room, own state and count of viewers; null until the first snapshot. */
  room = null;
  self = null;
  viewers = 0;
  /** A stop was pressed that the server has not confirmed. */
  stopWaits = false;

  #options;
  #codec;
  /** @type {Credentials | null} */
  #credentials;
  /** @type {WebSocket | null} */
  #socket = null;
  #connectRef = 0;
  #lastRef = 0;
  #attempt = 0;
  /** What the server said when it refused `connect`; the close that follows says less. */
  #refusal = null;
  #place = new Place();
  #wasOnline = false;
  /** To spread over after a loss without a word: the server may have gone, and everyone with it. */
  #windowMs = 0;
  #serverOffsetMs = 0;
  #pending = new Map();
  #toys = null;
  #settings;
  #away = false;
  #retryTimer = 0;
  #stableTimer = 0;
  #tokenTimer = 0;
  #stop;
  /** How often it was pressed: an answer counts for the presses before it alone. */
  #stopPresses = 0;
  #stopAttempt = 0;
  #stopTimer = 0;

  /**
   * @param {object} options
   * @param {string} options.url the room's WebSocket address
   * @param {() => Promise<Credentials>} options.fetchCredentials called before the first
   *   connection and whenever the token nears its end
   * @param {"EXTENSION" | "CAM_KIT"} [options.integration] a model's page only
   * @param {string} [options.pageId] the same across reloads of one page
   * @param {string} [options.storageKey] names the member: with it a stop outlives the page
   * @param {"msgpack" | "json"} [options.codec]
   * @param {() => number} [options.random] for the jitter
   */
  constructor({ codec = "msgpack", random = Math.random, ...options }) {
    super();
    this.#options = { random, ...options };
    this.#codec = CODECS[codec];
    this.#credentials = null;
    this.#stop = new KeptStop(options.storageKey);
  }

  /** Connect, and stay connected until `close` or a refusal. */
  start() {
    window.addEventListener("online", this.#retryNow);
    this.#connect();
    if (this.#stop.waits) this.#deliverStop();
  }

  /** Leave for good. Open requests are rejected with CLOSED. */
  close() {
    window.removeEventListener("online", this.#retryNow);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#stopTimer);
    this.#dropSocket(1000);
    this.#rejectPending(() => true, "CLOSED", "The connection was closed.");
    this.#setStatus({ state: "closed" });
  }

  /** @returns {number} the server's clock, milliseconds since 1970 */
  serverNowMs() {
    return Date.now() + this.#serverOffsetMs;
  }

  /**
   * Ask; resolves with the answer's `result`, rejects with RequestError.
   *
   * @param {Frame} frame without a ref
   * @param {{resend?: boolean}} [options] resend: survive a lost connection and ask again after
   *   it; only for what the server answers the same way twice (a tip with its tipId)
   * @returns {Promise<any>}
   */
  request(frame, { resend = false } = {}) {
    return new Promise((resolve, reject) => {
      const entry = {
        frame: { ...frame, ref: ++this.#lastRef },
        resend,
        resolve,
        reject,
        timer: 0,
      };
      if (this.status.state !== "online" && !resend) {
        reject(new RequestError({ code: "DISCONNECTED", text: "Not connected.", retry: true }));
        return;
      }
      if (["refused", "closed"].includes(this.status.state)) {
        reject(new RequestError({ code: "CLOSED", text: "The connection was closed." }));
        return;
      }
      this.#pending.set(entry.frame.ref, entry);
      if (this.status.state === "online") this.#ask(entry);
      else if (frame.type === "stopToys") this.#retryNow();
    });
  }

  /**
   * Stop: a model all toys of the room, a viewer the own. Told now, or ahead of all else once there
   * is a connection, on this page or a later one; and again until the server has done it.
   * `stopWaits` until then. No answer of the server's means that it need not be done.
   */
  stopToys() {
    this.#stop.keep();
    this.#stopPresses += 1;
    this.#stopAttempt = 0;
    this.#deliverStop();
  }

  /** The opposite; also of a stop that is still on its way. @returns {Promise<void>} */
  async resumeToys() {
    const presses = this.#stopPresses;
    await this.request({ type: "resumeToys" });
    this.#stopEnded(presses);
  }

  /** Say something that has no answer. While there is no connection it is dropped: the server
   * asks again for what it still needs.
   * @param {Frame} frame */
  tell(frame) {
    if (this.status.state === "online") this.#send(frame);
  }

  /** A viewer's toggles; `self` has them when this resolves. A toggle that does not show is refused.
   * @param {{reactToMyTips?: boolean, feelAllTips?: boolean}} change */
  async setPreferences(change) {
    const preferences = await this.request({ type: "setPreferences", ...change });
    this.self = { ...this.self, ...preferences };
  }

  /** @param {boolean} away nobody looks at this page; said now and after every reconnect */
  setAway(away) {
    this.#away = away;
    this.tell({ type: "setPresence", state: away ? "away" : "online" });
  }

  /** @param {object[]} toys all toys the page knows; sent now and after every reconnect */
  reportToys(toys) {
    this.#toys = toys;
    if (this.status.state === "online") this.#report("reportToys", { toys });
  }

  /** @param {object | null} settings the model's levels; sent now and after every reconnect */
  reportSettings(settings) {
    this.#settings = settings;
    if (this.status.state === "online") this.#report("reportSettings", { settings });
  }

  async #deliverStop() {
    const presses = this.#stopPresses;
    clearTimeout(this.#stopTimer);
    this.#setStopWaits(true);
    try {
      await this.request({ type: "stopToys" }, { resend: true });
      this.#stopEnded(presses);
    } catch (error) {
      // A connection that is refused or closed for good delivers no more; a later page does.
      if (error.code === "CLOSED" || presses !== this.#stopPresses) return;
      const waitMs = comeBackMs({
        attempt: this.#stopAttempt++,
        toldMs: error.retryAfterS === null ? null : error.retryAfterS * 1000,
        windowMs: 0,
        random: this.#options.random,
      });
      this.#stopTimer = setTimeout(() => this.#deliverStop(), waitMs);
    }
  }

  #stopEnded(presses) {
    if (presses !== this.#stopPresses) return;
    clearTimeout(this.#stopTimer);
    this.#stop.forget();
    this.#setStopWaits(false);
  }

  #setStopWaits(waits) {
    if (this.stopWaits === waits) return;
    this.stopWaits = waits;
    this.#emit("stopChanged", null);
  }

  // ---- connecting ---------------------------------------------------------------------------

  async #connect() {
    this.#setStatus({ state: "connecting" });
    if (this.#tokenLeftMs() <= 0) {
      try {
        this.#credentials = await this.#options.fetchCredentials();
      } catch (error) {
        if (this.status.state === "connecting")
          this.#waitAndRetry(CLOSE_ABNORMAL, String(error.message), null);
        return;
      }
      if (this.status.state !== "connecting") return;
    }
    const socket = new WebSocket(this.#options.url, [this.#codec.subprotocol]);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#refusal = null;
    socket.onopen = () => this.#introduce();
    socket.onmessage = ({ data }) => this.#onFrame(this.#codec.decode(data));
    socket.onclose = ({ code, reason }) => this.#onClose(code, reason);
  }

  #introduce() {
    this.#connectRef = ++this.#lastRef;
    this.#send({
      type: "connect",
      ref: this.#connectRef,
      token: this.#credentials.token,
      integration: this.#options.integration,
      resume: this.#place.resume,
      pageId: this.#options.pageId,
    });
  }

  #onClose(code, reason) {
    this.#dropSocket();
    if (code === CLOSES.TOKEN_EXPIRED.code) this.#credentials = null;
    const said = readReason(reason);
    const words = this.#refusal?.text || said.words;
    if (reconnects(code)) {
      this.#rejectPending((entry) => !entry.resend, "DISCONNECTED", "The connection was lost.");
      this.#waitAndRetry(code, words, said.toldMs);
    } else {
      this.#rejectPending(() => true, "CLOSED", words || "The connection was closed.");
      this.#setStatus({ state: "refused", code, reason: words });
    }
  }

  #waitAndRetry(code, reason, toldMs) {
    // Who has a toy to stop is no crowd, and neither is the one model of a room.
    const isAlone = this.#options.integration !== undefined || this.#mustStop();
    const retryInMs = comeBackMs({
      attempt: this.#attempt++,
      toldMs: this.#mustStop() ? null : toldMs,
      windowMs: this.#wasOnline && code === CLOSE_ABNORMAL && !isAlone ? this.#windowMs : 0,
      random: this.#options.random,
    });
    this.#wasOnline = false;
    this.#retryTimer = setTimeout(() => this.#connect(), retryInMs);
    this.#setStatus({ state: "waiting", code, reason, retryInMs });
  }

  #mustStop() {
    return [...this.#pending.values()].some(({ frame }) => frame.type === "stopToys");
  }

  #retryNow = () => {
    if (this.status.state !== "waiting") return;
    clearTimeout(this.#retryTimer);
    this.#connect();
  };

  #dropSocket(code) {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#stableTimer);
    clearTimeout(this.#tokenTimer);
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    if (code !== undefined) socket.close(code);
  }

  // ---- frames -------------------------------------------------------------------------------

  #onFrame(frame) {
    switch (frame.type) {
      case "ok":
      case "error":
        this.#onAnswer(frame);
        return;
      case "snapshot":
        this.#onSnapshot(frame);
        break;
      case "roomChanged":
        this.room = frame.room;
        break;
      case "presenceChanged":
        this.viewers = frame.viewers;
        this.#keepWindow(frame);
        break;
      case "selfChanged":
        this.self = frame.self;
        break;
    }
    if (HISTORY_EVENTS.includes(frame.type)) {
      const lost = this.#place.advance(frame);
      if (lost < 0) return;
      if (lost > 0) this.#emit("lost", { count: lost });
    }
    this.#emit(frame.type, frame);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #keepWindow({ reconnectWithinS }) {
    this.#windowMs = reconnectWithinS * 1000;
  }

  #onAnswer(answer) {
    if (answer.ref === this.#connectRef || answer.ref === null) {
      if (answer.type === "error") this.#refusal = answer;
      return;
    }
    const entry = this.#pending.get(answer.ref);
    if (entry === undefined) return;
    this.#pending.delete(answer.ref);
    clearTimeout(entry.timer);
    if (answer.type === "ok") entry.resolve(answer.result);
    else entry.reject(new RequestError(answer));
  }

  #onSnapshot(snapshot) {
    const lost = this.#place.restart(snapshot);
    this.#keepWindow(snapshot);
    this.#wasOnline = true;
    this.#serverOffsetMs = snapshot.serverTime - Date.now();
    ({ room: this.room, self: this.self, viewers: this.viewers } = snapshot);
    this.#stableTimer = setTimeout(() => (this.#attempt = 0), STABLE_AFTER_MS);
    this.#planTokenRefresh();
    this.#setStatus({ state: "online" });
    // A stop that could not be delivered goes first, another tab's too: nothing may start on a toy
    // before it.
    if (this.#stop.waits && !this.#mustStop()) this.#deliverStop();
    const waiting = [...this.#pending.values()].filter((entry) => entry.timer === 0);
    for (const entry of waiting) if (entry.frame.type === "stopToys") this.#ask(entry);
    if (this.#settings !== undefined) this.#report("reportSettings", { settings: this.#settings });
    if (this.#toys !== null) this.#report("reportToys", { toys: this.#toys });
    for (const entry of waiting) if (entry.timer === 0) this.#ask(entry);
    if (this.#away) this.setAway(true);
    if (lost !== 0) this.#emit("lost", { count: lost });
    for (const event of snapshot.missed) this.#emit(event.type, { ...event, late: true });
  }

  #ask(entry) {
    this.#send(entry.frame);
    entry.timer = setTimeout(() => {
      // The other side is gone without a word. Waiting for its close handshake could take minutes.
      this.#socket?.close();
      this.#onClose(CLOSE_ABNORMAL, "no answer");
    }, ANSWER_TIMEOUT_MS);
  }

  #report(type, content) {
    this.request({ type, ...content }).catch((error) => {
      if (error.code !== "DISCONNECTED" && error.code !== "CLOSED") {
        console.error(`tiproom: ${type} was refused`, error.code, error.field);
      }
    });
  }

  #send(frame) {
    this.#socket.send(this.#codec.encode(frame));
  }

  #rejectPending(which, code, text) {
    for (const [ref, entry] of this.#pending) {
      clearTimeout(entry.timer);
      entry.timer = 0;
      if (!which(entry)) continue;
      this.#pending.delete(ref);
      entry.reject(new RequestError({ code, text, retry: code === "DISCONNECTED" }));
    }
  }

  // ---- token --------------------------------------------------------------------------------

  #tokenLeftMs() {
    if (this.#credentials === null) return 0;
    const { expiresAtMs } = this.#credentials;
    return expiresAtMs === undefined ? TIMER_MAX_MS : expiresAtMs - this.serverNowMs();
  }

  #planTokenRefresh() {
    clearTimeout(this.#tokenTimer);
    const leftMs = this.#tokenLeftMs();
    const marginMs = Math.min(TOKEN_MARGIN_MS, leftMs / 2);
    const waitMs = Math.min(Math.max(leftMs - marginMs, TOKEN_REFRESH_FLOOR_MS), TIMER_MAX_MS);
    this.#tokenTimer = setTimeout(() => this.#refreshToken(), waitMs);
  }

  async #refreshToken() {
    try {
      const credentials = await this.#options.fetchCredentials();
      await this.request({ type: "refreshToken", token: credentials.token });
      this.#credentials = credentials;
      this.#planTokenRefresh();
    } catch (error) {
      console.warn("tiproom: the token could not be refreshed", error);
      // The server closes with TOKEN_EXPIRED at the end; until then there is time to try again.
      if (this.status.state === "online") this.#planTokenRefresh();
    }
  }

  /** @param {Status} status */
  #setStatus(status) {
    this.status = status;
    this.#emit("status", status);
  }
}
