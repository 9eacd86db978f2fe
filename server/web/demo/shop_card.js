/** Buying from the model's menus, and how the own purchases fare on her stage. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { aboutSeconds } from "./words.js";

const ATTEMPTS = 3;
const SHOWN_MAX = 8;

/**
 * @typedef {object} Purchase
 * @property {string} id
 * @property {string} itemName
 * @property {number} tokens
 * @property {string} state
 * @property {boolean} queued waits on the stage, or did
 * @property {number | null} position
 * @property {number | null} waitSec
 * @property {number | null} refunded
 */

export class ShopCard {
  #get;
  #post;
  #changed;
  #menus = null;
  /** @type {Map<string, Purchase>} newest first */
  #purchases = new Map();
  #near = null;
  /** itemIds that are being bought: a second click buys nothing twice. */
  #buying = new Set();

  /**
   * @param {object} options
   * @param {(path: string) => Promise<any>} options.get  @param {(path: string, body?: object) =>
   *   Promise<any>} options.post  @param {() => void} options.changed what is shown has changed
   */
  constructor({ get, post, changed }) {
    this.#get = get;
    this.#post = post;
    this.#changed = changed;
  }

  /** What is on offer, and what was bought before. @param {string} modelId */
  async read(modelId) {
    const [{ menus }, { purchases }, stage] = await Promise.all([
      this.#get(`/models/${modelId}/menus`),
      this.#get(`/menus/purchases?limit=${SHOWN_MAX}`),
      this.#get(`/models/${modelId}/stage`),
    ]);
    this.#menus = menus;
    const places = new Map(stage.entries.map((entry) => [entry.purchase.purchaseId, entry]));
    this.#purchases = new Map(
      purchases.map((each) => [
        each.purchaseId,
        {
          id: each.purchaseId,
          itemName: each.itemName,
          tokens: each.tokens,
          state: each.state,
          queued: each.queueMode === "ON",
          position: places.get(each.purchaseId)?.position ?? null,
          waitSec: places.get(each.purchaseId)?.waitSec ?? null,
          refunded: refundedOf(each),
        },
      ]),
    );
    this.#changed();
  }

  /** A `stagePlace` frame. */
  placed({ purchaseId, itemName, state, position, waitSec, refunded }) {
    const known = this.#purchases.get(purchaseId);
    const tokens = known?.tokens ?? null;
    this.#put({ id: purchaseId, itemName, tokens, queued: true, state, position, waitSec, refunded });
    if (this.#near?.purchaseId === purchaseId && state !== "READY") this.#near = null;
    this.#changed();
  }

  /** A `stageNear` frame. */
  near(frame) {
    this.#near = frame;
    this.#changed();
  }

  /** Rejects with the server's words. */
  async buy(menu, item, modelId) {
    if (this.#buying.has(item.itemId)) return;
    this.#buying.add(item.itemId);
    this.#changed();
    try {
      const order = {
        idempotencyKey: crypto.randomUUID(),
        menuId: menu.menuId,
        itemId: item.itemId,
        version: item.version,
      };
      const receipt = await this.#send(order);
      this.#put({
        ...this.#purchases.get(receipt.purchaseId),
        id: receipt.purchaseId,
        itemName: receipt.itemName,
        tokens: receipt.tokens,
        queued: receipt.queueMode === "ON",
        state: "READY",
        position: receipt.position,
        waitSec: receipt.waitSec,
        refunded: null,
      });
    } catch (error) {
      if (["MENU_ITEM_CHANGED", "MENU_UNKNOWN", "MENU_ITEM_UNKNOWN"].includes(error.code)) {
        await this.read(modelId);
      }
      throw error;
    } finally {
      this.#buying.delete(item.itemId);
      this.#changed();
    }
  }

  /** An unknown outcome is found out by the same key. */
  async #send(order) {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#post("/menus/purchases", order);
      } catch (error) {
        const unknown = error.code === undefined || error.code === "LEDGER_UNAVAILABLE";
        if (!unknown || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /** Rejects with the server's words. */
  cancel(purchase) {
    return this.#post(`/stage/purchases/${purchase.id}/cancel`);
  }

  #put(purchase) {
    const known = this.#purchases.get(purchase.id);
    if (known !== undefined) {
      // The receipt may come behind the first frames, which know better.
      const later = known.state !== "READY" && purchase.state === "READY" ? known : purchase;
      this.#purchases.set(purchase.id, { ...later, tokens: purchase.tokens ?? known.tokens });
      return;
    }
    const others = [...this.#purchases].slice(0, SHOWN_MAX - 1);
    this.#purchases = new Map([[purchase.id, purchase], ...others]);
  }

  /**
   * @param {object} options
   * @param {object | null} options.room
   * @param {(menu: object, item: object) => void} options.buy
   * @param {(purchase: Purchase) => void} options.cancel
   */
  template({ room, buy, cancel }) {
    const live = room?.live ?? false;
    return html`
      <section class="card" aria-labelledby="menus-title" data-testid="menus">
        <h2 id="menus-title">Menus</h2>
        ${this.#menus === null ? html`<p class="empty">Reading the menus…</p>` : nothing}
        ${this.#menus?.length === 0 ? html`<p class="empty">Nothing is on offer now.</p>` : nothing}
        ${(this.#menus ?? []).map((menu, index) => this.#menu(menu, index === 0, live, buy))}
      </section>
      ${this.#own(cancel)}
    `;
  }

  #menu(menu, open, live, buy) {
    return html`
      <details class="menu" data-style=${menu.theme.cardStyle} ?open=${open}>
        <summary>
          <span class="grow">${menu.name}</span>
          <span class="pill plain">${menu.queueMode === "ON" ? "In turn" : "At once"}</span>
        </summary>
        ${menu.description === "" ? nothing : html`<p class="soft small">${menu.description}</p>`}
        <div class="tip-options">
          ${menu.items.map(
            (item) => html`
              <button
                type="button"
                data-testid=${`item-${item.itemId}`}
                aria-busy=${String(this.#buying.has(item.itemId))}
                ?disabled=${!live || this.#buying.has(item.itemId)}
                @click=${() => buy(menu, item)}
              >
                <strong>${item.tokenValue}</strong>
                <span class="item-name">
                  ${item.icon === "" ? nothing : html`<span aria-hidden="true">${item.icon} </span>`}
                  ${item.name}
                </span>
                <span>${item.description}</span>
              </button>
            `,
          )}
        </div>
      </details>
    `;
  }

  #own(cancel) {
    const purchases = [...this.#purchases.values()];
    return html`
      <section class="card" aria-labelledby="purchases-title">
        <h2 id="purchases-title">Your purchases</h2>
        ${
          this.#near === null
            ? nothing
            : html`<p class="notice" data-tone="good" role="status" data-testid="near">
                “${this.#near.itemName}” is third in line, ${aboutSeconds(this.#near.waitSec)} to go.
              </p>`
        }
        ${purchases.length === 0 ? html`<p class="empty">What you buy shows up here.</p>` : nothing}
        <ol class="rows" aria-live="polite" data-testid="purchases">
          ${repeat(
            purchases,
            ({ id }) => id,
            (purchase) => html`
              <li data-testid="purchase" data-state=${purchase.state}>
                <span class="amount">${purchase.tokens}</span>
                <span class="grow">${purchase.itemName}</span>
                ${fate(purchase)}
                ${
                  purchase.queued && purchase.state === "READY"
                    ? html`<button class="quiet" type="button" @click=${() => cancel(purchase)}>
                        Cancel
                      </button>`
                    : nothing
                }
              </li>
            `,
          )}
        </ol>
      </section>
    `;
  }
}

function refundedOf({ state, tokens, terms }) {
  if (state === "CANCELLED") return tokens;
  if (state === "FINISHED") return 0;
  if (state !== "ABANDONED") return null;
  return { FULL_REFUND: tokens, FULL_SETTLE: 0, PARTIAL_REFUND: terms.tokens }[terms.kind];
}

function fate({ state, queued, position, waitSec, refunded }) {
  const [tone, words] = place();
  return html`<span class="pill" data-tone=${tone}>${words}</span>`;

  function place() {
    if (!queued) return ["good", "Settled"];
    switch (state) {
      case "READY":
        return position === null
          ? ["warn", "Waiting"]
          : ["warn", `Number ${position}${waitSec > 0 ? `, ${aboutSeconds(waitSec)}` : ", next"}`];
      case "STARTED":
        return ["accent", "On stage now"];
      case "FINISHED":
        return ["good", "Done"];
      case "CANCELLED":
        return ["", "Cancelled, refunded"];
      case "ABANDONED":
        return ["", refunded > 0 ? `Ended, ${refunded} tokens back` : "Ended"];
      default:
        return ["", state];
    }
  }
}
