/**
 * The model's page on Cam Kit for Web (global `lovense`).
 *
 * Like the Extension it moves toys only by `receiveTip(name, amount)` - the *name first*.
 * Activated means: a `tipRunning` message lists our amount and name. It documents no stop: a
 * priced `clear` special, sent as a tip, is the nearest thing.
 */
import { noteRunning, noteStopped } from "./play_time.js";
import { RunningTips } from "./running_tips.js";
import { ToyFailure } from "./toy_failure.js";
import { clearPrice, isOnline, settingsReport, toyReport } from "./vendor_report.js";

/** Events: `toysChanged` (detail: toys), `settingsChanged` (detail: settings). */
export class CamKitAdapter extends EventTarget {
  integration = "CAM_KIT";
  #lovense;
  #modelToken;
  #toys = [];
  /** As last reported. */
  #settings = null;
  #tips = new RunningTips();

  /**
   * @param {object} options
   * @param {any} options.lovense the global
   * @param {string} options.modelToken this model's own `mToken`
   */
  constructor({ lovense, modelToken }) {
    super();
    this.#lovense = lovense;
    this.#modelToken = modelToken;
  }

  async start() {
    this.#lovense.addMessageListener((message) => this.#onMessage(message));
    this.#lovense.initCamApi(this.#modelToken);
    // Documented as plain values; awaiting also holds should they become promises.
    const toys = await this.#lovense.getToys();
    // A message that came meanwhile is newer; and a script that only sends messages gives nothing.
    if (this.#toys.length === 0) this.#toys = toys ?? [];
  }

  async toys() {
    return toyReport(this.#toys);
  }

  async settings() {
    this.#settings = settingsReport(await this.#lovense.getSettings());
    return this.#settings;
  }

  async run(call, signal) {
    const [tipperName, amount] = this.#arguments(call);
    if (!this.#toys.some(isOnline)) throw new ToyFailure("no_toy");
    const evidence = this.#tips.expect(amount, tipperName, signal);
    this.#lovense.receiveTip(tipperName, amount);
    await evidence;
    noteRunning(this.#settings, amount);
  }

  async watch(call, signal) {
    const [tipperName, amount] = this.#arguments(call);
    await this.#tips.watch(amount, tipperName, signal);
    noteRunning(this.#settings, amount);
  }

  async stop(call) {
    if (call === null) return;
    noteStopped();
    this.#lovense.receiveTip(...this.#arguments(call));
  }

  #onMessage({ type, detail }) {
    switch (type) {
      case "toy":
        this.#toys = detail;
        this.#emit("toysChanged", toyReport(detail));
        break;
      case "settings":
        this.#settings = settingsReport(detail);
        this.#emit("settingsChanged", this.#settings);
        break;
      case "tipQueueStatus":
        // Who waits and who has ended; only `tipRunning` counts as evidence of a start.
        this.#tips.keepRunning(detail.running);
        this.#tips.update({ queue: detail.queue, waiting: detail.waiting });
        break;
      case "tipRunning":
        this.#tips.update({ running: detail.running });
        break;
    }
  }

  /** What the server would send as a stop, for a page that has lost the server.
   * @param {string} modelName  @returns {Promise<object | null>} null: the model priced no stop */
  async stopCall(modelName) {
    const amount = clearPrice(await this.settings());
    if (amount === null) return null;
    return { integration: this.integration, method: "receiveTip", args: [modelName, amount] };
  }

  #arguments({ integration, method, args }) {
    if (integration !== this.integration) throw new ToyFailure("wrong_integration");
    if (method !== "receiveTip") throw new ToyFailure("unknown_method");
    const [tipperName, amount] = args;
    if (!Number.isInteger(amount) || amount < 1 || typeof tipperName !== "string") {
      throw new ToyFailure("bad_arguments");
    }
    return [tipperName, amount];
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
