/** The model's stage: what is performed, who waits, and how each ends. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { aboutSeconds } from "./words.js";

const ORDERS = {
  fifo: "As they came",
  priority: "Who paid more first",
  batch: "The same in a row",
};

export class StageCard {
  #get;
  #post;
  #patch;
  #changed;
  #stage = { order: "fifo", entries: [] };
  /** What the abandon dialog is about. */
  #leaving = null;
  #busy = false;

  /**
   * @param {object} options
   * @param {(path: string) => Promise<any>} options.get
   * @param {(path: string, body?: object) => Promise<any>} options.post
   * @param {(path: string, change: object) => Promise<any>} options.patch
   * @param {() => void} options.changed what is shown has changed
   */
  constructor({ get, post, patch, changed }) {
    this.#get = get;
    this.#post = post;
    this.#patch = patch;
    this.#changed = changed;
  }

  /** @param {string} modelId */
  async read(modelId) {
    const { order, entries } = await this.#get(`/models/${modelId}/stage`);
    this.#stage = {
      order,
      entries: entries.map(({ purchase, position, waitSec }) => ({ ...purchase, position, waitSec })),
    };
    this.#changed();
  }

  /** A `stageChanged` frame. */
  moved({ order, entries }) {
    this.#stage = { order, entries };
    this.#changed();
  }

  /** Rejects with the server's words. */
  async #act(entry, action, body) {
    if (this.#busy) return;
    this.#busy = true;
    this.#changed();
    try {
      await this.#post(`/stage/purchases/${entry.purchaseId}/${action}`, body);
    } finally {
      this.#busy = false;
      this.#changed();
    }
  }

  /** @param {{room: object | null, orSay: (work: Promise<unknown>) => unknown}} options */
  template({ room, orSay }) {
    const { entries, order } = this.#stage;
    const current = entries.find(({ state }) => state === "STARTED");
    const line = entries.filter(({ state }) => state !== "STARTED");
    const [tone, words] =
      current !== undefined
        ? ["accent", "Performing"]
        : line.length > 0
          ? ["warn", `${line.length} ${line.length === 1 ? "waits" : "wait"}`]
          : ["", "Empty"];
    return html`
      <section class="card" aria-labelledby="stage-title" data-testid="stage">
        <div class="card-head">
          <h2 id="stage-title">Stage</h2>
          <span class="pill" role="status" data-testid="stage-state" data-tone=${tone}>${words}</span>
        </div>
        ${current === undefined ? nothing : this.#performed(current, orSay)}
        ${entries.length === 0 ? html`<p class="empty">What viewers buy in turn waits here.</p>` : nothing}
        <ol class="rows" data-testid="line">
          ${repeat(
            line,
            ({ purchaseId }) => purchaseId,
            (entry) => this.#waiting(entry, room, current, orSay),
          )}
        </ol>
        ${this.#dialog(orSay)}
        <label class="field">
          Order of the line
          <select
            data-testid="stage-order"
            .value=${live(order)}
            @change=${({ target }) =>
              orSay(this.#patch(`/models/${room.modelId}/stage`, { order: target.value }))}
          >
            ${Object.entries(ORDERS).map(
              ([value, each]) =>
                html`<option value=${value} ?selected=${value === order}>${each}</option>`,
            )}
          </select>
        </label>
      </section>
    `;
  }

  #performed(entry, orSay) {
    return html`
      <div class="notice" data-tone="accent" data-testid="performed">
        <p><strong>${entry.itemName}</strong> for ${entry.username}, ${entry.tokens} tokens</p>
        <p class="small">Your broadcast stays on air until this has ended.</p>
        <div class="actions">
          <button
            type="button"
            class="primary"
            data-testid="finish"
            ?disabled=${this.#busy}
            @click=${() => orSay(this.#act(entry, "finish"))}
          >
            Finish
          </button>
          ${this.#abandonButton(entry)}
        </div>
      </div>
    `;
  }

  #waiting(entry, room, current, orSay) {
    const next = entry.position === 1 && current === undefined;
    return html`
      <li data-testid="waiting" data-position=${entry.position}>
        <span class="amount">${entry.position}.</span>
        <span class="grow">
          <strong>${entry.itemName}</strong>
          <span class="soft">${entry.username}, ${entry.tokens} tokens</span>
        </span>
        ${entry.waitSec > 0 ? html`<span class="soft small">${aboutSeconds(entry.waitSec)}</span>` : nothing}
        <span class="actions">
          ${
            next
              ? html`<button
                  type="button"
                  class="primary"
                  data-testid="start"
                  ?disabled=${this.#busy || !(room?.live ?? false)}
                  @click=${() => orSay(this.#act(entry, "start"))}
                >
                  Start
                </button>`
              : nothing
          }
          ${this.#abandonButton(entry)}
        </span>
      </li>
    `;
  }

  #abandonButton(entry) {
    return html`<button
      type="button"
      data-testid="abandon"
      ?disabled=${this.#busy}
      @click=${() => {
        this.#leaving = entry;
        this.#changed();
        queueMicrotask(() => {
          const dialog = document.getElementById("abandon");
          dialog.querySelector("form").reset();
          dialog.querySelector("[name=tokens]").value = Math.max(1, Math.floor(entry.tokens / 2));
          // Not modal: the stop stays in reach.
          dialog.show();
        });
      }}
    >
      Abandon
    </button>`;
  }

  #dialog(orSay) {
    const entry = this.#leaving;
    const submit = ({ target, submitter }) => {
      if (submitter?.value !== "abandon") return;
      const form = new FormData(target);
      const kind = form.get("kind");
      const tokens = kind === "PARTIAL_REFUND" ? { tokens: Number(form.get("tokens")) } : {};
      orSay(this.#act(entry, "abandon", { kind, ...tokens }));
    };
    return html`
      <dialog id="abandon" aria-labelledby="abandon-title">
        <form method="dialog" @submit=${submit}>
          <h2 id="abandon-title">Abandon “${entry?.itemName}”</h2>
          <fieldset class="choice stacked">
            <legend class="visually-hidden">What becomes of the tokens</legend>
            ${way("FULL_REFUND", `All ${entry?.tokens} tokens go back`, true)}
            ${way("PARTIAL_REFUND", "Some go back", false)}
            ${way("FULL_SETTLE", "None go back", false)}
          </fieldset>
          <label class="field">
            Tokens that go back, if only some
            <input
              type="number"
              name="tokens"
              min="1"
              max=${entry?.tokens ?? 1}
              step="1"
              required
              data-testid="abandon-tokens"
            />
          </label>
          <div class="actions">
            <button class="primary" value="abandon" data-testid="abandon-confirm">Abandon</button>
            <button value="cancel" formnovalidate>Keep it</button>
          </div>
        </form>
      </dialog>
    `;
  }
}

function way(kind, words, checked) {
  return html`
    <label>
      <input type="radio" name="kind" value=${kind} ?checked=${checked} data-testid=${`way-${kind}`} />
      <span>${words}</span>
    </label>
  `;
}
