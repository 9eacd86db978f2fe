/** A viewer's page: tip, see what happens, and let the own toy take part. */
import "../simulator/toy_view.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { TiproomClient } from "../sdk/client.js";
import { CommandRunner } from "../sdk/commands.js";
import { isOnline } from "../sdk/vendor_report.js";
import { connectNow } from "./auto_connect.js";
import { DevicesCard } from "./devices_card.js";
import { MessagesCard } from "./messages_card.js";
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
import { announceRealToys, failureNotice, toyList } from "./real_toys.js";
import { openSession, pageId } from "./session.js";
import { ShopCard } from "./shop_card.js";
import { TipBook } from "./tip_book.js";
import { ownTipsCard, tipCard } from "./tip_cards.js";
import { openViewerToys } from "./viewer_toys.js";
import { tierName } from "./words.js";

const LIMIT_NOTE =
  "A limit counts in every room, whatever is tipped. Your toys play together, so the smallest limit " +
  "counts for all of them.";

async function start() {
  const as = new URLSearchParams(location.search).get("as");
  if (!as) throw new Error("Whose page is this? The address needs ?as=NAME.");
  const { socketUrl, fetchCredentials, get, put, post, remove } = await openSession(as);
  const { adapter, failure, waits, simulator } = await openViewerToys(as, get);
  if (simulator === null) announceRealToys();
  let toys = await adapter.toys();
  const connected = () => toys.some(isOnline);

  const client = new TiproomClient({
    url: socketUrl,
    fetchCredentials,
    pageId: pageId(),
    storageKey: as,
  });
  const runner = new CommandRunner({
    adapter,
    tell: (frame) => client.tell(frame),
    serverNowMs: () => client.serverNowMs(),
    storageKey: as,
  });
  const tips = new TipBook(client, as, get);
  const feed = new Feed();
  /** Toggles as the viewer set them, until the server has answered. */
  const asked = {};
  let pairingPicture = null;
  let alertText = null;

  const refresh = page(template);
  const devices = new DevicesCard({ get, put, remove, changed: refresh, note: LIMIT_NOTE });
  const menus = new ShopCard({ get, post, changed: refresh });
  const say = (text) => {
    alertText = text;
    refresh();
  };
  const messages = new MessagesCard({ client, get, post, put, changed: refresh, say });
  const orSay = (work) => {
    say(null);
    return work.catch((error) => say(error.message));
  };

  const stop = () => {
    // The own toy rests at once, connected or not; the server is told, now or as soon as it can
    // be, so that nothing follows until the viewer resumes.
    if (adapter.appConnected()) runner.stop(null);
    client.stopToys();
  };
  const resume = () => orSay(client.resumeToys());
  const setPreference = async (name, wanted) => {
    asked[name] = wanted;
    await orSay(client.setPreferences({ [name]: wanted }));
    delete asked[name];
    refresh();
  };
  const showPairing = async () => {
    pairingPicture = (await adapter.pairingCode()).qrcodeUrl;
    refresh();
    document.getElementById("pairing").showModal();
  };
  const pair = () => (waits ? connectNow() : orSay(showPairing()));

  document.addEventListener("keydown", (event) => {
    // In an open dialog Escape closes the dialog.
    const inDialog = document.querySelector("dialog[open]") !== null;
    if (event.key === "Escape" && !event.repeat && !inDialog && connected()) stop();
  });
  adapter.addEventListener("toysChanged", ({ detail }) => {
    toys = detail;
    client.reportToys(detail);
    devices.reload();
    // The app is there: its owner has scanned the code.
    if (simulator === null && connected()) document.getElementById("pairing")?.close();
    refresh();
  });
  tips.addEventListener("change", refresh);
  if (simulator !== null) {
    for (const source of [simulator.toy, simulator.phone]) {
      source.addEventListener("change", refresh);
    }
  }
  for (const type of ["status", "snapshot", "roomChanged", "presenceChanged", "selfChanged"]) {
    client.addEventListener(type, refresh);
  }
  client.addEventListener("stopChanged", refresh);
  client.addEventListener("snapshot", () => devices.reload());
  client.addEventListener("deviceWarning", ({ detail }) => devices.warn(detail));
  client.addEventListener("snapshot", ({ detail }) => orSay(menus.read(detail.room.modelId)));
  client.addEventListener("stagePlace", ({ detail }) => menus.placed(detail));
  client.addEventListener("stageNear", ({ detail }) => menus.near(detail));
  client.addEventListener("tipNotice", ({ detail }) => {
    feed.add(detail);
    refresh();
  });
  client.addEventListener("command", ({ detail }) => runner.accept(detail));
  client.addEventListener("stop", ({ detail }) => {
    // A toy that is gone has nothing to stop, and the vendor's script would only throw.
    if (adapter.appConnected()) runner.stop(detail.call);
  });

  client.reportToys(toys);
  client.start();
  orSay(tips.sendUnanswered());

  function template() {
    const { room, self, status } = client;
    return html`
      ${pageHead({
        title: room?.modelDisplayName ?? "Room",
        who:
          self === null
            ? nothing
            : html`· you are <strong>${self.username}</strong>, ${tierName(self.membershipTier)}`,
        facts: html`${livePill(room)} ${viewersPill(client.viewers)} ${connectionPill(status)}`,
      })}
      ${alertBox(alertText, () => say(null))}
      ${stopWaitsNotice(client.stopWaits && status.state !== "online")} ${devices.warningsTemplate()}
      ${status.state === "refused" ? html`<p class="notice" data-tone="danger" role="alert">${status.reason}</p>` : nothing}
      <div class="columns">
        <div class="column">
          ${tipCard({
            room,
            self,
            send: (amount) => orSay(tips.send(amount, room.broadcastId)),
          })}
          ${menus.template({
            room,
            buy: (menu, item) => orSay(menus.buy(menu, item, room.modelId)),
            cancel: (purchase) => orSay(menus.cancel(purchase)),
          })}
          ${ownTipsCard(tips.entries, (entry) => orSay(tips.sendAgain(entry)))}
        </div>
        <div class="column">${toyCard(self)} ${devices.template()} ${messages.template()} ${feed.template()}</div>
      </div>
      ${pairingDialog()}
    `;
  }

  function toyCard(self) {
    return html`
      <section class="card" aria-labelledby="toy-title">
        <div class="card-head">
          <h2 id="toy-title">Your toy</h2>
          <span class="pill" data-testid="toy-state" data-tone=${connected() ? "good" : ""}>
            ${connected() ? "Connected" : "Not connected"}
          </span>
        </div>
        ${failureNotice(failure)}
        ${connected() ? connectedToy(self) : failure === null ? unconnectedToy() : nothing}
      </section>
    `;
  }

  function unconnectedToy() {
    return html`
      <p class="soft">Connect a toy and it can play along with tips in this room.</p>
      <div class="actions">
        <button type="button" class="primary" data-testid="connect-toy" @click=${pair}>
          Connect Your Lovense
        </button>
      </div>
    `;
  }

  function connectedToy(self) {
    const gates = self?.gates;
    return html`
      ${
        simulator === null
          ? toyList(toys)
          : html`<toy-view .toy=${simulator.toy} data-testid="toy"></toy-view>`
      }
      ${
        gates?.reactToMyTips
          ? preference("reactToMyTips", "React to my tips", "Your toy joins in when you tip.", self)
          : nothing
      }
      ${
        gates?.feelAllTips
          ? preference(
              "feelAllTips",
              "Feel all tips",
              "Your toy joins every tip in this room. A VIP benefit.",
              self,
            )
          : nothing
      }
      ${
        self?.toysPaused
          ? html`<p class="notice" role="status" data-testid="toy-stopped">
              Your toy is stopped. Nothing reaches it until you resume.
            </p>`
          : nothing
      }
      <div class="actions">
        <button type="button" class="stop" data-testid="stop" @click=${stop}>
          Stop my toy <kbd>Esc</kbd>
        </button>
        ${
          self?.toysPaused
            ? html`<button type="button" class="primary" data-testid="resume" @click=${resume}>
                Resume my toy
              </button>`
            : nothing
        }
        ${simulator === null ? nothing : disconnectButton(simulator.phone)}
      </div>
      ${simulator === null ? nothing : batteryControl(simulator.toy)}
    `;
  }

  function leave(phone) {
    devices.expectLoss();
    phone.leave();
  }

  /** With a real toy, its owner disconnects it in the app. */
  function disconnectButton(phone) {
    return html`<button type="button" data-testid="disconnect-toy" @click=${() => leave(phone)}>
      Disconnect
    </button>`;
  }

  function preference(name, title, words, self) {
    return html`
      <label class="switch">
        <span><strong>${title}</strong><span class="soft small">${words}</span></span>
        <input
          type="checkbox"
          role="switch"
          data-testid=${name}
          aria-busy=${String(name in asked)}
          .checked=${live(asked[name] ?? self[name])}
          @change=${({ target }) => setPreference(name, target.checked)}
        />
      </label>
    `;
  }

  function scanButton(phone) {
    return html`<button class="primary" data-testid="scan" @click=${() => phone.scan()}>
      Scan with the simulated app
    </button>`;
  }

  function pairingDialog() {
    return html`
      <dialog id="pairing" aria-labelledby="pairing-title">
        <form method="dialog">
          <h2 id="pairing-title">Connect Your Lovense</h2>
          ${
            pairingPicture === null
              ? nothing
              : html`<img
                  class="pairing-picture"
                  src=${pairingPicture}
                  alt=${simulator === null ? "Pairing code" : "Pairing code, simulated"}
                  width="176"
                  height="176"
                />`
          }
          <p class="soft">
            ${
              simulator === null
                ? "Scan this code with the Lovense app on your phone."
                : "With a real toy you would scan a code with the Lovense app. Here one click does it."
            }
          </p>
          <div class="actions">
            ${simulator === null ? nothing : scanButton(simulator.phone)}
            <button>Cancel</button>
          </div>
        </form>
      </dialog>
    `;
  }
}

start().catch(showStartFailure);
