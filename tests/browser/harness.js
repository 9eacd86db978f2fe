/**
 * What the tests set up in an empty page: simulators, adapters, the client. Each function leaves
 * its pieces on `window`, where a test's own lines can use them.
 */

/** The model's simulated toy and one product's global; `toy`, `levels`, `player`. */
export async function model(product) {
  const [{ SimulatedToy }, { ModelLevels }, { TipPlayer }, extension, kit] = await Promise.all([
    import("/web/simulator/simulated_toy.js"),
    import("/web/simulator/model_levels.js"),
    import("/web/simulator/tip_player.js"),
    import("/web/simulator/cam_extension.js"),
    import("/web/simulator/cam_kit.js"),
  ]);
  const toy = new SimulatedToy({ owner: "luna", connected: true });
  const levels = new ModelLevels("luna");
  const player = new TipPlayer({ toy, levels, owner: "luna" });
  if (product === "EXTENSION") extension.installCamExtension(player);
  else kit.installCamKit(player);
  Object.assign(window, { toy, levels, player });
}

/** A ready `extension`; `seen` holds [event, data]. */
export async function readyExtension() {
  const extension = new CamExtension("test:Tiproom", "luna");
  const seen = [];
  for (const name of ["toyStatusChange", "tipQueueChange", "settingsChange", "postMessage"]) {
    extension.on(name, (data) => seen.push([name, data]));
  }
  await new Promise((resolve) => extension.on("ready", resolve));
  Object.assign(window, { extension, seen });
}

/** A viewer's simulated toy and app, and the vendor's instance; `toy`, `phone`, `sdk`, `seen`. */
export async function viewer() {
  const [{ SimulatedToy }, { SimulatedPhone, installBasicSdk }] = await Promise.all([
    import("/web/simulator/simulated_toy.js"),
    import("/web/simulator/basic_sdk.js"),
  ]);
  const toy = new SimulatedToy({ owner: "alex", connected: false });
  const phone = new SimulatedPhone(toy, "alex");
  installBasicSdk(phone);
  const sdk = new LovenseBasicSdk({ uid: "alex", platform: "Tiproom", authToken: "token" });
  const seen = [];
  for (const name of ["appStatusChange", "toyInfoChange", "toyOnlineChange", "deviceInfoChange"]) {
    sdk.on(name, (data) => seen.push([name, data]));
  }
  Object.assign(window, { toy, phone, sdk, seen });
}

/** `<toy-view>` of `toy` on the page. */
export async function draw() {
  await import("/web/simulator/toy_view.js");
  const view = document.createElement("toy-view");
  view.toy = toy;
  document.querySelector("main").append(view);
}

/** A started `adapter`; `run(call)` notes how it went in `outcomes`, `changes` its events. */
export async function adapt(product) {
  const { CamExtensionAdapter } = await import("/web/sdk/cam_extension.js");
  const { CamKitAdapter } = await import("/web/sdk/cam_kit.js");
  const { BasicSdkAdapter } = await import("/web/sdk/basic_sdk.js");
  const create = {
    EXTENSION: () =>
      new CamExtensionAdapter({ CamExtension, websiteName: "site", modelName: "luna" }),
    CAM_KIT: () => new CamKitAdapter({ lovense, modelToken: "token" }),
    BASIC_SDK: () =>
      new BasicSdkAdapter({ LovenseBasicSdk, uid: "alex", platform: "site", authToken: "t" }),
  };
  const adapter = create[product]();
  const outcomes = [];
  const changes = [];
  const { signal } = new AbortController();
  const run = (call) => {
    const at = outcomes.push("open") - 1;
    adapter.run(call, signal).then(
      () => (outcomes[at] = "activated"),
      (error) => (outcomes[at] = error.code),
    );
  };
  for (const name of ["toysChanged", "settingsChanged"]) {
    adapter.addEventListener(name, ({ type, detail }) => changes.push([type, detail]));
  }
  await adapter.start();
  changes.length = 0;
  Object.assign(window, { adapter, outcomes, changes, run });
}

/** A command `runner` on `adapter`; `answers` holds what it tells the server. */
export async function runCommands() {
  const { CommandRunner } = await import("/web/sdk/commands.js");
  const answers = [];
  const tell = ({ type, commandId, code }) =>
    answers.push([type, commandId, ...(code ? [code] : [])]);
  const serverNowMs = () => Date.now();
  const runner = new CommandRunner({ adapter, storageKey: "luna", serverNowMs, tell });
  const accept = (commandId, call, lifeMs = 5000) =>
    runner.accept({ commandId, call, expiresAt: Date.now() + lifeMs });
  Object.assign(window, { runner, answers, accept });
}

/** A `client`; the page's <main> shows its state, the last notice's offset and answers. */
export async function connect({ url, tokenLifeMs, serverTimeMs, integration }) {
  const sockets = [];
  const { WebSocket: Real } = window;
  window.WebSocket = class extends Real {
    constructor(...address) {
      super(...address);
      sockets.push(this);
    }
  };
  const { TiproomClient } = await import("/web/sdk/client.js");
  const { dataset } = document.querySelector("main");
  let tokens = 0;
  const fetchCredentials = async () => ({
    token: `token-${++tokens}`,
    expiresAtMs: Math.max(client.serverNowMs(), serverTimeMs) + tokenLifeMs,
  });
  const client = new TiproomClient({
    url,
    fetchCredentials,
    codec: "json",
    random: () => 0.999,
    integration: integration ?? undefined,
    pageId: "page-1",
    storageKey: "luna",
  });
  client.addEventListener("stopChanged", () => (dataset.stopWaits = client.stopWaits));
  client.addEventListener("status", ({ detail }) => (dataset.state = detail.state));
  client.addEventListener("tipNotice", ({ detail }) => (dataset.offset = detail.offset));
  const heard = [];
  for (const type of ["snapshot", "tipNotice", "lost"]) {
    client.addEventListener(type, ({ detail }) =>
      heard.push([type, detail.offset ?? detail.count, detail.late ?? null]),
    );
  }
  const ask = (frame, resend = false, show = "answer") => {
    dataset[show] = "";
    client.request(frame, { resend }).then(
      (result) => (dataset[show] = result),
      ({ code, retry }) => (dataset[show] = `${code} ${retry ? "retry" : "final"}`),
    );
  };
  Object.assign(window, { client, ask, heard, sockets });
  client.start();
}
