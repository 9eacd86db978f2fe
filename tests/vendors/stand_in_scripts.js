/**
 * Stand-ins for the vendor's three scripts, by their documented names, argument orders and loose
 * types. Which one it is, the address says. `vendorCalls` holds what the page called;
 * `vendorScan()` is the viewer who scans the code with the app.
 */
(() => {
  const calls = (window.vendorCalls = []);
  const toy = { id: "d6c35fe83348", name: "lush", type: "lush", status: "on" };
  const settings = {
    levels: {
      level1: { min: "1", max: "99", time: "1", rLevel: 0, vLevel: "5" },
      level2: { min: "100", max: "infinity", time: "1", rLevel: 0, vLevel: "15" },
    },
    special: { clear: { enable: true, type: "clear", time: "", token: "77" } },
  };
  const tip = (amount, tipperName) => ({
    amount: String(amount),
    tipperName,
    time: "1",
    level: 1,
    specialType: "",
    reactToys: [{ toyId: toy.id, vibrate: 5 }],
  });

  function emitter() {
    const callbacks = {};
    return {
      on: (name, callback) => (callbacks[name] ??= []).push(callback),
      emit: (name, data) => callbacks[name]?.forEach((callback) => callback(data)),
    };
  }

  const scripts = {
    "/cam-extension/static/js-sdk/broadcast.js"() {
      window.CamExtension = class CamExtension {
        #events = emitter();

        constructor(...args) {
          calls.push(["new CamExtension", ...args]);
          setTimeout(() => {
            this.#events.emit("sdkError", { code: "1", message: "one that means nothing" });
            this.#events.emit("ready", this);
          });
        }

        on(name, callback) {
          this.#events.on(name, callback);
        }

        receiveTip(...args) {
          calls.push(["receiveTip", ...args]);
          this.#events.emit("tipQueueChange", { running: [tip(...args)], queue: [], waiting: [] });
          setTimeout(
            () => this.#events.emit("tipQueueChange", { running: [], queue: [], waiting: [] }),
            1000,
          );
        }

        async getSettings() {
          return settings;
        }

        async getToyStatus() {
          return [toy];
        }
      };
    },

    "/api/cam/model/v2/model.js"(query) {
      calls.push(["model.js", query.get("mToken")]);
      const events = emitter();
      const emit = (type, detail) => events.emit("message", { type, detail });
      window.lovense = {
        addMessageListener: (callback) => events.on("message", callback),
        initCamApi: (...args) => calls.push(["initCamApi", ...args]),
        getToys: () => [toy],
        getSettings: () => settings,
        receiveTip(name, amount) {
          calls.push(["receiveTip", name, amount]);
          emit("tipQueueStatus", { running: [tip(amount, name)], queue: [], waiting: [] });
          emit("tipRunning", { running: [tip(amount, name)] });
          setTimeout(() => emit("tipQueueStatus", { running: [], queue: [], waiting: [] }), 1000);
        },
      };
    },

    "/basic-sdk/core.min.js"() {
      window.LovenseBasicSdk = class LovenseBasicSdk {
        #events = emitter();
        #connected = false;

        constructor(option) {
          calls.push(["new LovenseBasicSdk", option]);
          setTimeout(() => this.#events.emit("ready", this));
          window.vendorScan = () => {
            this.#connected = true;
            this.#events.emit("appStatusChange", true);
            this.#events.emit("toyInfoChange", this.getToys());
            this.#events.emit("toyOnlineChange", true);
          };
        }

        on(name, callback) {
          this.#events.on(name, callback);
        }

        getToys() {
          if (!this.#connected) return [];
          return [
            { id: "a0b1", name: "Lush 3", toyType: "lush", nickname: "", battery: 80, connected: true },
          ];
        }

        getAppStatus() {
          return this.#connected;
        }

        async getQrcode() {
          return { qrcodeUrl: "data:image/gif;base64,R0lGODlhAQABAAAAACw=", qrcode: "{}" };
        }

        sendToyCommand(...args) {
          calls.push(["sendToyCommand", ...args]);
        }

        stopToyAction(...args) {
          calls.push(["stopToyAction", ...args]);
        }
      };
    },
  };

  const { pathname, searchParams } = new URL(document.currentScript.src);
  scripts[pathname](searchParams);
})();
