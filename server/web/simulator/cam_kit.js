/**
 * SIMULATOR of Cam Kit for Web: stands in for the vendor's script, by its documented signatures.
 *
 * `installCamKit(player)` sets the global `lovense`. Mind the order in `receiveTip(name, amount)`.
 * Messages are `{type, detail}`, type message | settings | toy | tipQueueStatus | tipRunning.
 * Numbers come as strings in messages and as numbers from the getters, as documented. As in the
 * real one there is no stop and no strength. It tells toys and queue at `initCamApi`.
 */

/** @param {import("./tip_player.js").TipPlayer} player  @param {object} [scope] */
export function installCamKit(player, scope = globalThis) {
  /** @type {((message: {type: string, detail: any}) => void)[]} */
  let callbacks = [];
  let modelToken = null;
  let lastToys = "";

  const emit = (type, detail) => {
    if (modelToken === null) return;
    for (const callback of callbacks) callback({ type, detail });
  };
  const emitToys = () => {
    const toys = toysOf(player.toy);
    if (lastToys === (lastToys = JSON.stringify(toys))) return;
    emit("toy", toys);
  };
  const emitQueue = ({ running, queue }) => {
    const described = running.map((tip) => describe(tip, player.toy));
    emit("tipQueueStatus", { running: described, queue, waiting: [] });
    if (described.length > 0) emit("tipRunning", { running: described });
  };
  player.addEventListener("queue", ({ detail }) => emitQueue(detail));
  player.addEventListener("message", ({ detail }) => emit("message", detail));
  player.levels.addEventListener("change", () =>
    emit("settings", settingsOf(player.levels, String)),
  );
  player.toy.addEventListener("change", emitToys);

  scope.lovense = {
    initCamApi(mToken) {
      modelToken = mToken;
      queueMicrotask(() => {
        emitToys();
        emitQueue(player.queue);
      });
    },
    destroyCamApi() {
      modelToken = null;
      callbacks = [];
    },
    receiveTip(name, amount) {
      if (modelToken !== null) player.receive(Number(amount), String(name));
    },
    getToys() {
      return toysOf(player.toy);
    },
    getSettings() {
      return settingsOf(player.levels, Number);
    },
    addMessageListener(callback) {
      callbacks.push(callback);
    },
  };
}

function toysOf({ id, name, type, connected, battery }) {
  return [{ id, name, type, status: connected ? "on" : "off", battery: String(battery) }];
}

function describe({ amount, tipperName, time, level, special, strength }, toy) {
  return {
    amount,
    tipperName,
    time,
    cParameter: {},
    level,
    module: special === null ? "Basic Level" : "Special Command",
    specialType: special ?? undefined,
    reactToys: [
      {
        toyId: toy.id,
        specialType: special ?? "",
        status: 1,
        toyType: toy.type,
        vibrate: strength,
        rotate: 0,
        airpump: 0,
      },
    ],
  };
}

/** Cam Kit's specials have no `enable`: being listed is being enabled. */
function settingsOf({ levels, specials }, number) {
  const loose = ({ min, max, time, rLevel, vLevel }) => ({
    min: number(min),
    max: number(max),
    time: number(time),
    rLevel,
    vLevel,
  });
  return {
    levels: Object.fromEntries(Object.entries(levels).map(([name, level]) => [name, loose(level)])),
    special: Object.fromEntries(
      Object.entries(specials).map(([name, { time, token }]) => [
        name,
        time === undefined ? { token } : { time: String(time), token: String(token) },
      ]),
    ),
  };
}
