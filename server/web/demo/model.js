/** The model's page: her toy, her broadcast, and a stop that is always in reach. */
import "../simulator/toy_view.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { TiproomClient } from "../sdk/client.js";
import { CLOSES } from "../sdk/codes.js";
import { CommandRunner } from "../sdk/commands.js";
import { playsForS } from "../sdk/play_time.js";
import { connectNow } from "./auto_connect.js";
import { broadcastCard } from "./broadcast_card.js";
import { CoverageCard } from "./coverage_card.js";
import { DevicesCard } from "./devices_card.js";
import { levelsCard } from "./levels_card.js";
import { MenuCard } from "./menu_card.js";
import { MenusCard } from "./menus_card.js";
import { MessagesCard } from "./messages_card.js";
import { openModelToys, reopen } from "./model_toys.js";
import {
  Feed,
  alertBox,
  batteryControl,
  connectionPill,
  livePill,
  page,
  pageHead,
  showStartFailure,
  stopWaitsNotice,
  viewersPill,
} from "./page.js";
import { queueCard, queueModeCard } from "./queue_card.js";
import { announceRealToys, failureNotice, toyList } from "./real_toys.js";
import { changeSite, openSession, pageId } from "./session.js";
import { StageCard } from "./stage_card.js";
import { syncCard } from "./sync_card.js";
import { integrationName, noStopWords } from "./words.js";

const LIMIT_NOTE =
  "Your product takes no strength from a site: a limit rules out your levels above it, the smallest " +
  "of your toys in use for all of them. It does not tell your toys apart either: taking no part " +
  "counts once none of them does.";

async function start() {
  const { socketUrl, fetchCredentials, get, patch, put, post, remove } = await openSession("model");
  const { adapter, failure, waits, settingsUrl, simulator } = await openModelToys(get);
  const { integration } = adapter;
  if (simulator === null) announceRealToys();
  let toys = await adapter.toys();
  const client = new TiproomClient({
    url: socketUrl,
    fetchCredentials,
    integration,
    pageId: pageId(),
    storageKey: "model",
  });
  const runner = new CommandRunner({
    adapter,
    tell: (frame) => {
      menu.answered(frame);
      client.tell(frame);
    },
    serverNowMs: () => client.serverNowMs(),
    storageKey: "model",
  });
  const feed = new Feed();
  let queue = { waiting: 0, playing: null, paused: false, nextInS: null, upcoming: [] };
  /** As the model chose it, until the room's own state has come. */
  let askedSyncMode = null;
  /** The same of the site's queue mode. */
  let askedQueueMode = null;
  let alertText = null;

  const refresh = page(template);
  const coverage = new CoverageCard({
    read: () => get("/lovense/tip-menu/coverage"),
    changed: refresh,
    use:
      simulator &&
      ((proposed) =>
        simulator.levels.replace(
          Object.fromEntries(proposed.map(({ name, ...level }) => [name, { ...level, rLevel: 0 }])),
        )),
  });
  const menu = new MenuCard({
    read: () => get("/lovense/tip-menu"),
    ask: (frame) => client.request(frame),
    changed: refresh,
  });
  const devices = new DevicesCard({ get, put, remove, changed: refresh, note: LIMIT_NOTE });
  const stage = new StageCard({ get, post, patch, changed: refresh });
  const menus = new MenusCard({ get, post, put, remove, changed: refresh });
  const say = (text) => {
    alertText = text;
    refresh();
  };
  const messages = new MessagesCard({ client, get, post, put, changed: refresh, say });
  const orSay = (work) => {
    say(null);
    return work.catch((error) => say(error.message));
  };
  const ask = (frame) => {
    say(null);
    return client.request(frame).catch((error) => say(error.message));
  };

  /** What a real toy does now, no product tells. */
  const mayPlay = () => simulator?.toy.playing ?? (failure === null && !waits);
  const stopOwn = (call) => {
    runner.stop(call);
    menu.stopped();
    if (call === null && mayPlay()) say(noStopWords(playsForS()));
  };

  const stop = async () => {
    // The whole room is told now, or as soon as it can be; her own toy waits for nobody, and
    // nothing that waits here starts any more.
    client.stopToys();
    stopOwn(await adapter.stopCall(client.room?.modelDisplayName ?? "model"));
  };
  const resume = () => {
    say(null);
    client.resumeToys().catch((error) => say(error.message));
  };
  const chooseQueueMode = async (lovenseQueueMode) => {
    say(null);
    askedQueueMode = lovenseQueueMode;
    try {
      await changeSite({ lovenseQueueMode });
    } catch (error) {
      askedQueueMode = null;
      say(error.message);
    }
  };
  const end = () => ask({ type: "endBroadcast" });
  const goLive = async (mode) => {
    const started = await ask({ type: "startBroadcast", lovenseMode: mode });
    if (started !== undefined && mode !== integration) reopen();
  };

  const chooseSyncMode = async (viewerSyncMode) => {
    say(null);
    askedSyncMode = viewerSyncMode;
    try {
      await patch(`/models/${client.room.modelId}/settings`, { viewerSyncMode });
    } catch (error) {
      askedSyncMode = null;
      say(error.message);
    }
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.repeat) stop();
  });
  adapter.addEventListener("toysChanged", ({ detail }) => {
    toys = detail;
    client.reportToys(detail);
    refresh();
  });
  adapter.addEventListener("settingsChanged", ({ detail }) => client.reportSettings(detail));
  if (simulator !== null) {
    const { toy, levels, player } = simulator;
    for (const source of [toy, levels]) source.addEventListener("change", refresh);
    player.addEventListener("queue", refresh);
  }
  for (const type of ["status", "snapshot", "roomChanged", "presenceChanged", "selfChanged"]) {
    client.addEventListener(type, refresh);
  }
  client.addEventListener("roomChanged", () => (askedSyncMode = null));
  // The server has heard of her settings: now it can say what comes of them.
  client.addEventListener("modelToysChanged", () => {
    coverage.reload();
    devices.reload();
  });
  let options = "";
  client.addEventListener("roomChanged", ({ detail }) => {
    if (options === (options = JSON.stringify(detail.room.tipOptions))) return;
    coverage.reload();
    menu.reload();
  });
  client.addEventListener("snapshot", () => {
    menu.reload();
    devices.reload();
  });
  client.addEventListener("stopChanged", refresh);
  client.addEventListener("deviceWarning", ({ detail }) => devices.warn(detail));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && client.status.state === "online") {
      coverage.reload();
      menu.reload();
    }
  });
  client.addEventListener("snapshot", ({ detail }) => orSay(stage.read(detail.room.modelId)));
  client.addEventListener("snapshot", ({ detail }) => orSay(menus.read(detail.room.modelId)));
  client.addEventListener("stageChanged", ({ detail }) => stage.moved(detail));
  client.addEventListener("tipNotice", ({ detail }) => {
    feed.add(detail);
    refresh();
  });
  client.addEventListener("queueChanged", ({ detail }) => {
    queue = detail;
    askedQueueMode = null;
    refresh();
  });
  client.addEventListener("command", ({ detail }) => runner.accept(detail));
  client.addEventListener("testCommand", ({ detail }) => runner.accept(detail));
  client.addEventListener("stop", ({ detail }) => {
    stopOwn(detail.call);
    refresh();
  });

  client.reportToys(toys);
  client.reportSettings(await adapter.settings());
  client.start();
  refresh();

  function template() {
    const { room, status } = client;
    const online = status.state === "online";
    const head = pageHead({
      title: room?.modelDisplayName ?? "Model",
      who: "· you are the model",
      facts: html`${livePill(room)} ${viewersPill(client.viewers)} ${connectionPill(status)}`,
    });
    if (status.state === "refused") return html`${head} ${refusal(status)}`;
    return html`
      ${head} ${alertBox(alertText, () => say(null))}
      ${stopWaitsNotice(client.stopWaits && !online)} ${devices.warningsTemplate()}
      <div class="columns">
        <div class="column">
          ${toyCard(room)} ${devices.template()} ${menu.template(online)} ${messages.template()}
          ${feed.template()}
        </div>
        <div class="column">
          ${broadcastCard({ room, integration, online, goLive, end })}
          ${stage.template({ room, orSay })} ${menus.template()} ${queueCard(queue)}
          ${queueModeCard({ mode: askedQueueMode ?? queue.mode, choose: chooseQueueMode })}
          ${syncCard({ mode: askedSyncMode ?? room?.viewerSyncMode, choose: chooseSyncMode })}
          ${coverage.template()} ${simulator === null ? nothing : levelsCard(simulator.levels)}
        </div>
      </div>
      ${stopBar(room)}
    `;
  }

  function toyCard(room) {
    return html`
      <section class="card" aria-labelledby="toy-title">
        <div class="card-head">
          <h2 id="toy-title">Your toy</h2>
          ${
            simulator === null || waits
              ? html`<span class="soft small">${integrationName(integration)}</span>`
              : reactions(simulator)
          }
        </div>
        ${failureNotice(failure)}
        ${
          room?.enableLovense === false
            ? html`<p class="notice" data-tone="warn">
                Toys are switched off on this site: tips settle, nothing moves.
              </p>`
            : nothing
        }
        ${waits ? connectToy() : simulator === null ? realToys() : simulatedToy(simulator.toy)}
      </section>
    `;
  }

  /** Her settings or the site's say that a page does not do it by itself. */
  function connectToy() {
    return html`
      <p class="soft">This page connects to your toy when you say so.</p>
      <div class="actions">
        <button type="button" class="primary" data-testid="connect-toy" @click=${connectNow}>
          Connect my toy
        </button>
      </div>
    `;
  }

  function reactions({ player }) {
    return html`<span class="soft small">
      ${integrationName(integration)}, simulated ·
      <span class="number" data-testid="tips-taken" data-count=${player.taken}>
        ${player.taken} ${player.taken === 1 ? "reaction" : "reactions"}
      </span>
    </span>`;
  }

  function simulatedToy(toy) {
    return html`
      <toy-view .toy=${toy} data-testid="toy"></toy-view>
      <div class="actions">
        <button
          type="button"
          data-testid="toy-power"
          @click=${() => {
            if (toy.connected) devices.expectLoss();
            toy.connected = !toy.connected;
          }}
        >
          ${toy.connected ? "Disconnect toy" : "Connect toy"}
        </button>
      </div>
      ${batteryControl(toy)}
    `;
  }

  function realToys() {
    return html`
      ${failure === null ? toyList(toys) : nothing}
      ${
        settingsUrl
          ? html`<p><a href=${settingsUrl} target="_blank" rel="noopener">Your Lovense settings</a></p>`
          : nothing
      }
    `;
  }

  function stopBar(room) {
    const paused = room?.toysPaused ?? false;
    return html`
      <section class="stop-bar" aria-label="Stop">
        <p class="small" role="status">
          ${
            paused
              ? html`<strong>Stopped.</strong> New tips settle and wait until you resume.`
              : html`<span class="soft">Stops every toy in the room at once.</span>`
          }
        </p>
        ${
          paused
            ? html`<button
                type="button"
                class="primary"
                data-testid="resume"
                @click=${resume}
              >
                Resume
              </button>`
            : nothing
        }
        <button type="button" class="stop" data-testid="stop" @click=${stop}>
          Stop all toys <kbd>Esc</kbd>
        </button>
      </section>
    `;
  }

  function refusal({ code, reason }) {
    const other = integration === "EXTENSION" ? "CAM_KIT" : "EXTENSION";
    const conflict = code === CLOSES.INTEGRATION_CONFLICT.code;
    return html`
      <section class="card" data-testid="refused" data-code=${code}>
        <h2>${conflict ? "Another integration is active" : "This page cannot be used now"}</h2>
        <p role="alert">${reason}</p>
        <p class="soft">
          ${
            conflict
              ? "A broadcast keeps the integration it started with. Changing it needs a new broadcast."
              : "Only one page of the model may be open, so that no toy is told twice."
          }
        </p>
        <div class="actions">
          ${
            conflict
              ? html`<button type="button" class="primary" @click=${() => reopen(other)}>
                  Use ${integrationName(other)} here
                </button>`
              : nothing
          }
          <button type="button" @click=${() => location.reload()}>Try again</button>
        </div>
      </section>
    `;
  }
}

start().catch(showStartFailure);
