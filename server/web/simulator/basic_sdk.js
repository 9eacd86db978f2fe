/**
 * SIMULATOR of the Basic JS SDK: stands in for the vendor's script, by its documented signatures.
 *
 * `installBasicSdk(phone)` sets the global class `LovenseBasicSdk({uid, platform, authToken})`.
 * `phone` is the simulated Lovense app: while it is not connected there are no toys, and commands
 * throw. As in the real one a `time` of 0 runs until it is stopped.
 */
import { Listeners } from "./listeners.js";
import { pairingPicture } from "./pairing_picture.js";
import { levelProgram, presetProgram } from "./simulated_toy.js";

/** Strength of each function on the drawn toy's scale of 0..20. */
const SCALE = {
  vibrate: 1,
  rotate: 1,
  pump: 20 / 3,
  thrusting: 1,
  fingering: 1,
  suction: 1,
  oscillate: 1,
  depth: 20 / 3,
  stroke: 1 / 5,
};
const PATTERN_INTERVAL_MS = 150;
const PATTERN_VALUES_MAX = 50;

/** The app on the viewer's phone: scans the code, and brings its toy. Event `change`. */
export class SimulatedPhone extends EventTarget {
  #key;
  #connected;

  /** @param {import("./simulated_toy.js").SimulatedToy} toy  @param {string} owner */
  constructor(toy, owner) {
    super();
    this.toy = toy;
    this.#key = `tiproom.simulator.phone.${owner}`;
    this.#connected = localStorage.getItem(this.#key) === "connected";
  }

  get connected() {
    return this.#connected;
  }

  /** The owner scans the code with the app; the toy is switched on. */
  scan() {
    this.#set(true);
    this.toy.connected = true;
  }

  /** The owner closes the app. */
  leave() {
    this.toy.connected = false;
    this.#set(false);
  }

  #set(connected) {
    this.#connected = connected;
    if (connected) localStorage.setItem(this.#key, "connected");
    else localStorage.removeItem(this.#key);
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {SimulatedPhone} phone  @param {object} [scope] */
export function installBasicSdk(phone, scope = globalThis) {
  const { toy } = phone;

  scope.LovenseBasicSdk = class LovenseBasicSdk {
    #listeners = new Listeners();

    constructor({ uid, platform, authToken }) {
      if (!uid || !platform || !authToken)
        throw new Error("LovenseBasicSdk({uid, platform, authToken})");
      this.uid = uid;
      phone.addEventListener("change", () => {
        this.#listeners.emit("appStatusChange", phone.connected);
        this.#listeners.emit("deviceInfoChange", this.getDeviceInfo());
      });
      let info = JSON.stringify(this.getToys());
      let online = this.checkToyOnline();
      toy.addEventListener("change", () => {
        if (info === (info = JSON.stringify(this.getToys()))) return;
        this.#listeners.emit("toyInfoChange", this.getToys());
        if (online === (online = this.checkToyOnline())) return;
        this.#listeners.emit("toyOnlineChange", online);
      });
      queueMicrotask(() => this.#listeners.emit("ready", this));
    }

    on(name, callback) {
      this.#listeners.on(name, callback);
    }

    async getQrcode() {
      const qrcode = JSON.stringify({ type: 5, data: `simulated:${this.uid}` });
      return { qrcodeUrl: pairingPicture(qrcode), qrcode };
    }

    getAppStatus() {
      return phone.connected;
    }

    getToys() {
      if (!phone.connected) return [];
      const { id, name, type, connected, battery } = toy;
      return [
        { id, name, toyType: type, nickname: "", hVersion: "3", fVersion: 300, battery, connected },
      ];
    }

    getOnlineToys() {
      return this.getToys().filter(({ connected }) => connected);
    }

    checkToyOnline() {
      return this.getOnlineToys().length > 0;
    }

    getDeviceInfo() {
      return {
        deviceCode: "simulated",
        domain: "",
        httpsPort: 0,
        appVersion: "0",
        platform: "simulator",
        appType: "remote",
      };
    }

    sendToyCommand({ time = 0, toyId, ...functions }) {
      if (!this.#reaches(toyId)) return;
      const strengths = Object.entries(SCALE).map(
        ([name, scale]) => (functions[name] ?? 0) * scale,
      );
      toy.play(levelProgram(Math.round(Math.max(...strengths)), time));
    }

    sendPatternCommand({ strength, time = 0, interval = PATTERN_INTERVAL_MS, toyId }) {
      const values = strength.split(";").map(Number);
      if (values.length > PATTERN_VALUES_MAX || interval <= 100) throw new Error("invalid pattern");
      if (this.#reaches(toyId)) toy.play({ values, intervalMs: interval, seconds: time });
    }

    sendPresetCommand({ name, time = 0, toyId }) {
      if (this.#reaches(toyId)) toy.play(presetProgram(name, time));
    }

    stopToyAction({ toyId } = {}) {
      if (this.#reaches(toyId)) toy.stop();
    }

    destroy() {
      this.#listeners = new Listeners();
    }

    #reaches(toyId) {
      if (!phone.connected) throw new Error("the app is not connected");
      return toyId === undefined || toyId === toy.id;
    }
  };
}
