/**
 * SIMULATOR of the Cam Extension: stands in for the vendor's script, by its documented signatures.
 *
 * `installCamExtension(player)` sets the global class `CamExtension(websiteName, modelName)`.
 * Types are as loose as the vendor's: numbers as strings, status "on". As in the real one there is
 * no stop, no toy id, no strength: a tip's amount and the model's levels decide. One liberty: when
 * ready it tells toys and queue at once, so that a page that was reloaded sees what plays.
 */
import { Listeners } from "./listeners.js";

const VERSION = "30.4.4";

/** @param {import("./tip_player.js").TipPlayer} player  @param {object} [scope] */
export function installCamExtension(player, scope = globalThis) {
  scope.CamExtension = class CamExtension {
    #listeners = new Listeners();
    #modelName;

    constructor(websiteName, modelName) {
      if (!websiteName || !modelName) throw new Error("CamExtension(websiteName, modelName)");
      this.#modelName = modelName;
      player.addEventListener("queue", ({ detail }) => this.#emitQueue(detail));
      player.addEventListener("message", ({ detail }) =>
        this.#listeners.emit("postMessage", detail),
      );
      player.levels.addEventListener("change", () => {
        this.#listeners.emit("settingsChange", settingsOf(player.levels));
      });
      let before = "";
      player.toy.addEventListener("change", () => {
        const toys = toyStatus(player.toy);
        if (before === (before = JSON.stringify(toys))) return;
        this.#listeners.emit("toyStatusChange", toys);
      });
      queueMicrotask(() => {
        this.#listeners.emit("ready", this);
        this.#listeners.emit("toyStatusChange", toyStatus(player.toy));
        this.#emitQueue(player.queue);
      });
    }

    on(name, callback) {
      this.#listeners.on(name, callback);
    }

    receiveTip(amount, tipperName) {
      player.receive(Number(amount), String(tipperName));
    }

    receiveMessage(_userName, _content) {
      // The real one lets chat lines steer games of the extension, which this one does not have.
    }

    async getSettings() {
      return settingsOf(player.levels);
    }

    async getToyStatus() {
      return toyStatus(player.toy).map(({ id, name, type, status }) => ({
        id,
        name,
        type,
        status,
      }));
    }

    async getCamVersion() {
      return VERSION;
    }

    #emitQueue({ running, queue }) {
      const describe = ({ amount, tipperName, time, level, special, strength }) => ({
        amount,
        tipperName,
        time,
        module: special === null ? "Basic Level" : "Special Command",
        cParameter: {},
        level: level ?? "",
        specialType: special ?? "",
        modelName: this.#modelName,
        reactToys: [
          {
            toyId: player.toy.id,
            specialType: special ?? "",
            status: 1,
            toyType: player.toy.type,
            vibrate: strength,
          },
        ],
      });
      this.#listeners.emit("tipQueueChange", {
        running: running.map(describe),
        queue,
        waiting: [],
      });
    }
  };
}

function toyStatus({ id, name, type, connected, battery }) {
  return [
    { id, name, type, status: connected ? "on" : "off", version: "", battery: String(battery) },
  ];
}

function settingsOf({ levels, specials }) {
  const special = Object.fromEntries(
    Object.entries(specials).map(([type, { time, token }]) => [
      type,
      { enable: true, type, time: String(time ?? ""), token: String(token) },
    ]),
  );
  const off = { enable: false, time: "", token: "" };
  special.random = special.randomTime = special.giveControl = special.pause = off;
  return { levels, special };
}
