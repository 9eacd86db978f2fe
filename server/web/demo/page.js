/** What the model's and the viewer's page have in common: frame, notices, feed. */
import { html, nothing, render } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";

const FEED_MAX = 50;

/** Renders `template()` into the page's root, once per turn however often it is asked for.
 * @param {() => unknown} template  @returns {() => void} asks for it */
export function page(template) {
  const root = document.getElementById("app");
  root.replaceChildren();
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    queueMicrotask(() => {
      asked = false;
      render(template(), root);
    });
  };
}

/** @param {{title: unknown, who?: unknown, facts?: unknown}} head */
export function pageHead({ title, who = nothing, facts = nothing }) {
  return html`
    <header class="page-head">
      <div class="titles">
        <p class="brand"><a href="/demo/">Tiproom demo</a> ${who}</p>
        <h1>${title}</h1>
      </div>
      <div class="facts">${facts}</div>
    </header>
  `;
}

const CONNECTION = {
  idle: ["", "Starting"],
  connecting: ["warn", "Connecting"],
  online: ["good", "Online"],
  waiting: ["warn", "Reconnecting"],
  refused: ["danger", "Refused"],
  closed: ["danger", "Closed"],
};

/** @param {import("../sdk/client.js").Status} status */
export function connectionPill(status) {
  const [tone, words] = CONNECTION[status.state];
  return html`<span
    class="pill"
    role="status"
    data-testid="connection"
    data-state=${status.state}
    data-tone=${tone}
    >${words}</span
  >`;
}

/** @param {object | null} room */
export function livePill(room) {
  const live = room?.live ?? false;
  return html`<span class="pill" data-testid="live" data-tone=${live ? "accent" : ""}
    >${live ? "Live" : "Offline"}</span
  >`;
}

/** @param {number} count */
export function viewersPill(count) {
  return html`<span class="pill plain number" data-testid="viewers"
    >${count} ${count === 1 ? "viewer" : "viewers"}</span
  >`;
}

/** A message that is read out at once; null: there is none, but the region stays for the next.
 * @param {string | null} text  @param {() => void} dismiss */
export function alertBox(text, dismiss) {
  return html`
    <div role="alert" data-testid="alert">
      ${
        text === null
          ? nothing
          : html`<div class="notice" data-tone="danger">
              ${text}
              <button class="quiet" type="button" @click=${dismiss}>Dismiss</button>
            </div>`
      }
    </div>
  `;
}

/** A stop that the server has not heard. Read out at once, and gone once it has been delivered.
 * @param {boolean} waits */
export function stopWaitsNotice(waits) {
  return html`
    <div role="alert" data-testid="stop-waits">
      ${
        waits
          ? html`<p class="notice" data-tone="danger">
              Not connected: your own toy was stopped. The rest of the stop is delivered first of all
              with the connection, also if you reload this page.
            </p>`
          : nothing
      }
    </div>
  `;
}

/** Public notices, newest first, bounded. */
export class Feed {
  #notices = [];
  #lastId = 0;

  add(notice) {
    this.#notices = [{ ...notice, id: ++this.#lastId }, ...this.#notices].slice(0, FEED_MAX);
  }

  template() {
    return html`
      <section class="card" aria-labelledby="feed-title">
        <h2 id="feed-title">Tips in this room</h2>
        ${this.#notices.length === 0 ? html`<p class="empty">No tips since you came.</p>` : nothing}
        <div class="feed" role="log" aria-labelledby="feed-title" tabindex="0" data-testid="feed">
          <ol class="rows">
            ${repeat(
              this.#notices,
              ({ id }) => id,
              ({ username, amount, itemName, timestamp }) => html`
                <li>
                  <span class="grow"
                    ><strong>${username}</strong> <span class="soft">${itemName}</span></span
                  >
                  <span class="amount">${amount} tokens</span>
                  <time class="soft small number" datetime=${timestamp}>${clock(timestamp)}</time>
                </li>
              `,
            )}
          </ol>
        </div>
      </section>
    `;
  }
}

function clock(timestamp) {
  return new Date(timestamp).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** The simulated toy's own controls.
 * @param {import("../simulator/simulated_toy.js").SimulatedToy} toy */
export function batteryControl(toy) {
  return html`
    <label class="field">
      Simulated battery
      <input
        type="range"
        min="0"
        max="100"
        step="5"
        .value=${String(toy.battery)}
        @input=${({ target }) => (toy.battery = target.valueAsNumber)}
      />
    </label>
  `;
}

/** Shows why a page could not start at all. @param {Error} error */
export function showStartFailure(error) {
  const root = document.getElementById("app");
  root.replaceChildren();
  render(
    html`${pageHead({ title: "This page could not start" })}
      <div class="notice" data-tone="danger" role="alert">${error.message}</div>
      <p><a href="/demo/">Back to the start</a></p>`,
    root,
  );
}
