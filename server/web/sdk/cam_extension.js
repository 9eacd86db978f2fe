/**
 * The model's page on the Cam Extension (global `CamExtension`).
 *
 * Its only way to move a toy is `receiveTip(amount, tipperName)`; strength and time are the
 * model's own settings. Activated means: our amount and name were seen in `tipQueueChange.running`.
 * It documents no stop: a priced `clear` special, sent as a tip, is the nearest thing.
 */
import { noteRunning, noteStopped } from "./play_time.js";
import { RunningTips } from "./running_tips.js";
import { ToyFailure } from "./toy_failure.js";
import { vendorReady } from "./vendor_ready.js";
import { clearPrice, isOnline, settingsReport, toyReport } from "./vendor_report.js";

/** Events: `toysChanged` (detail: toys), `settingsChanged` (detail: settings). */
export class CamExtensionAdapter extends EventTarget {
  integration = "EXTENSION";
  #create;
  #extension;
  #toys = [];
  /** As last reported. */
  #settings = null;
  #tips = new RunningTips();

  /**
   * @param {object} options
   * @param {new (websiteName: string, modelName: string) => any} options.CamExtension the global
   * @param {string} options.websiteName the Website Name of the vendor's dashboard
   * @param {string} options.modelName
   */
  constructor({ CamExtension, websiteName, modelName }) {
    super();
    this.#create = () => new CamExtension(websiteName, modelName);
  }

  async start() {
    const extension = this.#create();
    extension.on("toyStatusChange", (toys) => {
      this.#toys = toys;
      this.#emit("toysChanged", toyReport(toys));
    });
    extension.on("settingsChange", (settings) => {
      this.#settings = settingsReport(settings);
      this.#emit("settingsChanged", this.#settings);
    });
    extension.on("tipQueueChange", (queue) => this.#tips.update(queue));
    extension.on("sdkError", (error) => console.warn("tiproom: Cam Extension", error));
    await vendorReady(extension);
    this.#extension = extension;
    const toys = await extension.getToyStatus();
    // An event that came meanwhile is newer, and says more: only events carry the battery.
    if (this.#toys.length === 0) this.#toys = toys ?? [];
  }

  async toys() {
    return toyReport(this.#toys);
  }

  async settings() {
    this.#settings = settingsReport(await this.#extension.getSettings());
    return this.#settings;
  }

  async run(call, signal) {
    const [amount, tipperName] = this.#arguments(call);
    if (!this.#toys.some(isOnline)) throw new ToyFailure("no_toy");
    const evidence = this.#tips.expect(amount, tipperName, signal);
    this.#extension.receiveTip(amount, tipperName);
    await evidence;
    noteRunning(this.#settings, amount);
  }

  async watch(call, signal) {
    const [amount, tipperName] = this.#arguments(call);
    await this.#tips.watch(amount, tipperName, signal);
    noteRunning(this.#settings, amount);
  }

  async stop(call) {
    if (call === null) return;
    noteStopped();
    this.#extension.receiveTip(...this.#arguments(call));
  }

  /** What the server would send as a stop, for a page that has lost the server.
   * @param {string} modelName  @returns {Promise<object | null>} null: the model priced no stop */
  async stopCall(modelName) {
    const amount = clearPrice(await this.settings());
    if (amount === null) return null;
    return { integration: this.integration, method: "receiveTip", args: [amount, modelName] };
  }

  #arguments({ integration, method, args }) {
    if (integration !== this.integration) throw new ToyFailure("wrong_integration");
    if (method !== "receiveTip") throw new ToyFailure("unknown_method");
    const [amount, tipperName] = args;
    if (!Number.isInteger(amount) || amount < 1 || typeof tipperName !== "string") {
      throw new ToyFailure("bad_arguments");
    }
    return [amount, tipperName];
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
