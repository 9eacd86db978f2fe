/**
 * A viewer's page on the Basic JS SDK (global `LovenseBasicSdk`).
 *
 * Here the caller decides strength and time. No call documents a result, so activated means: the
 * call returned without an error, and a toy was online before it and after it.
 */
import { ToyFailure } from "./toy_failure.js";
import { vendorReady } from "./vendor_ready.js";
import { isOnline, toyReport } from "./vendor_report.js";

const METHODS = ["sendToyCommand", "sendPresetCommand", "sendPatternCommand"];
/** The vendor reads 0 as "for ever" and wants more than 1 s otherwise. */
const SECONDS_OVER = 1;

/** Events: `toysChanged` (detail: toys), `appChanged` (detail: whether the app is connected). */
export class BasicSdkAdapter extends EventTarget {
  integration = "BASIC_SDK";
  #create;
  #sdk;

  /**
   * @param {object} options
   * @param {new (option: object) => any} options.LovenseBasicSdk the global
   * @param {string} options.uid  @param {string} options.platform the Website Name
   * @param {string} options.authToken
   */
  constructor({ LovenseBasicSdk, uid, platform, authToken }) {
    super();
    this.#create = () => new LovenseBasicSdk({ uid, platform, authToken });
  }

  async start() {
    const sdk = this.#create();
    const report = () => this.#emit("toysChanged", toyReport(sdk.getToys()));
    sdk.on("toyInfoChange", report);
    sdk.on("toyOnlineChange", report);
    sdk.on("appStatusChange", (connected) => {
      this.#emit("appChanged", connected);
      report();
    });
    sdk.on("sdkError", (error) => console.warn("tiproom: Basic SDK", error));
    await vendorReady(sdk);
    this.#sdk = sdk;
  }

  async toys() {
    return toyReport(this.#sdk.getToys());
  }

  async settings() {
    return null;
  }

  /** @returns {boolean} whether the owner's Lovense app is connected to this page */
  appConnected() {
    return this.#sdk.getAppStatus();
  }

  /** @returns {Promise<{qrcodeUrl: string, qrcode: string}>} what the owner scans to connect */
  pairingCode() {
    return this.#sdk.getQrcode();
  }

  async run({ integration, method, args }, signal) {
    if (integration !== this.integration) throw new ToyFailure("wrong_integration");
    if (!METHODS.includes(method)) throw new ToyFailure("unknown_method");
    if (!(args[0]?.time > SECONDS_OVER)) throw new ToyFailure("bad_arguments");
    if (!this.#online()) throw new ToyFailure("no_toy");
    await this.#sdk[method](...args);
    if (signal.aborted) throw signal.reason;
    if (!this.#online()) throw new ToyFailure("toy_lost");
  }

  async watch() {
    // The evidence of this integration is the call's own return, which the reload has taken away.
    throw new ToyFailure("interrupted");
  }

  async stop(call) {
    await this.#sdk.stopToyAction(...(call?.args ?? [{}]));
  }

  #online() {
    return this.#sdk.getToys().some(isOnline);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
