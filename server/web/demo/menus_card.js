/** The model's performance menus: what she sells, and a form for each menu and item. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { faultsOf, focusFault, inputField, selectField, switchField } from "./fields.js";
import { vibrationWords } from "./words.js";

const MODES = [
  ["OFF", "Settles at once"],
  ["ON", "Waits on the stage, tokens held"],
];
const VISIBILITIES = [
  ["public", "Everyone"],
  ["subscribers_only", "Subscribers only"],
  ["private", "Only who is listed"],
];
const STYLES = [
  ["modern", "Modern"],
  ["premium", "Premium"],
  ["luxury", "Luxury"],
  ["minimal", "Minimal"],
];
const REACTIONS = [
  ["", "No toy"],
  ["LEVEL", "A steady strength"],
  ["pulse", "Preset pulse"],
  ["wave", "Preset wave"],
  ["fireworks", "Preset fireworks"],
  ["earthquake", "Preset earthquake"],
];
const DRAWN = ["PATTERN", "The drawn pattern that it has"];

const NEW_MENU = {
  name: "",
  description: "",
  queueMode: "OFF",
  visibility: "public",
  whitelist: [],
  theme: { cardStyle: "modern" },
  active: true,
};
const NEW_ITEM = {
  name: "",
  description: "",
  tokenValue: null,
  bonusPoints: 0,
  vibration: null,
  startOffsetMs: 0,
  durationSec: 60,
  active: true,
  order: 0,
  category: "",
  icon: "",
  maxDailyPurchases: null,
};

const LISTED_HINT = "User ids with blanks in between; for a menu that only they see";
const DAY_HINT = "1 to 1,000; empty: no limit";
const STAGE_HINT = "1 to 3,600: what others wait for";

/** The server's field -> the form's. */
const NAMES = {
  "theme.cardStyle": "cardStyle",
  "vibration.type": "reaction",
  "vibration.presetName": "reaction",
  "vibration.strength": "strength",
  "vibration.durationSec": "reactionSec",
};

export class MenusCard {
  #get;
  #post;
  #put;
  #remove;
  #changed;
  #modelId = null;
  #menus = [];
  /** What the form is about: {menu, item?}, as they were when it was opened; null: closed. */
  #editing = null;
  #faults = {};
  #busy = false;
  #removing = false;
  #said = "";

  /**
   * @param {object} options
   * @param {(path: string) => Promise<any>} options.get
   * @param {(path: string, body: object) => Promise<any>} options.post
   * @param {(path: string, body: object) => Promise<any>} options.put
   * @param {(path: string) => Promise<any>} options.remove
   * @param {() => void} options.changed what is shown has changed
   */
  constructor({ get, post, put, remove, changed }) {
    this.#get = get;
    this.#post = post;
    this.#put = put;
    this.#remove = remove;
    this.#changed = changed;
  }

  /** @param {string} modelId */
  async read(modelId) {
    this.#modelId = modelId;
    this.#menus = (await this.#get(`/models/${modelId}/menus`)).menus;
    this.#changed();
  }

  #open(editing) {
    this.#editing = editing;
    this.#faults = {};
    this.#removing = false;
    this.#said = "";
    this.#changed();
    queueMicrotask(() => {
      const dialog = document.getElementById("menu-editor");
      dialog.querySelector("form").reset();
      // Not modal: the stop stays in reach.
      if (!dialog.open) dialog.show();
      dialog.querySelector("[name=name]").focus();
    });
  }

  #close(said = "") {
    this.#said = said;
    this.#faults = {};
    document.getElementById("menu-editor").close();
    this.#changed();
  }

  async #save(form) {
    const { menu, item } = this.#editing;
    const draft = item === undefined ? menuDraft(form) : itemDraft(form, item);
    const path = item === undefined ? "/menus" : `/menus/${menu.menuId}/items`;
    const id = item === undefined ? menu.menuId : item.itemId;
    await this.#send(
      () => (id === undefined ? this.#post(path, draft) : this.#put(`${path}/${id}`, draft)),
      `“${draft.name}” is saved.`,
    );
    queueMicrotask(() => focusFault(form));
  }

  async #removeThis() {
    const { menu, item } = this.#editing;
    const path = `/menus/${menu.menuId}` + (item === undefined ? "" : `/items/${item.itemId}`);
    await this.#send(() => this.#remove(path), `“${(item ?? menu).name}” is removed.`);
  }

  async #send(work, done) {
    if (this.#busy) return;
    this.#busy = true;
    this.#changed();
    try {
      await work();
      await this.read(this.#modelId);
      this.#close(done);
    } catch (error) {
      this.#faults = faultsOf(error, NAMES, FORM_FIELDS);
    } finally {
      this.#busy = false;
      this.#changed();
    }
  }

  template() {
    return html`
      <section class="card" aria-labelledby="menus-title" data-testid="menus">
        <div class="card-head">
          <h2 id="menus-title">Your menus</h2>
          <span class="soft small" role="status" data-testid="menus-said">${this.#said}</span>
        </div>
        ${this.#menus.length === 0 ? html`<p class="empty">You sell nothing but tips yet.</p>` : nothing}
        ${repeat(
          this.#menus,
          ({ menuId }) => menuId,
          (menu) => this.#menu(menu),
        )}
        <div class="actions">
          <button
            type="button"
            data-testid="new-menu"
            @click=${() => this.#open({ menu: NEW_MENU })}
          >
            New menu
          </button>
        </div>
        ${this.#editor()}
      </section>
    `;
  }

  #menu(menu) {
    const shownTo = Object.fromEntries(VISIBILITIES)[menu.visibility];
    return html`
      <details class="menu" data-testid="own-menu" data-style=${menu.theme.cardStyle}>
        <summary>
          <span class="grow"><strong>${menu.name}</strong></span>
          ${
            menu.active
              ? html`<span class="pill plain">${shownTo}</span>`
              : html`<span class="pill" data-tone="warn">Hidden</span>`
          }
        </summary>
        <p class="soft small">${Object.fromEntries(MODES)[menu.queueMode]}. ${menu.description}</p>
        <ul class="rows">
          ${repeat(
            menu.items,
            ({ itemId }) => itemId,
            (item) => this.#item(menu, item),
          )}
        </ul>
        <div class="actions">
          <button
            type="button"
            data-testid="new-item"
            aria-label=${`New item in ${menu.name}`}
            @click=${() => this.#open({ menu, item: NEW_ITEM })}
          >
            New item
          </button>
          <button
            type="button"
            data-testid="edit-menu"
            aria-label=${`Edit the menu ${menu.name}`}
            @click=${() => this.#open({ menu })}
          >
            Edit menu
          </button>
        </div>
      </details>
    `;
  }

  #item(menu, item) {
    const limit = item.maxDailyPurchases;
    const reaction = item.vibration === null ? "No toy" : vibrationWords(item.vibration);
    return html`
      <li class="menu-row" data-testid="own-item">
        <span class="amount">${item.tokenValue}</span>
        <span class="grow">
          ${item.icon} ${item.name} ${item.active ? nothing : html`<span class="soft">(hidden)</span>`}
          <span class="soft small block"
            >${reaction}${limit === null ? nothing : `, ${limit} a day for each`}</span
          >
        </span>
        <button
          type="button"
          class="small-button"
          data-testid="edit-item"
          aria-label=${`Edit ${item.name}`}
          @click=${() => this.#open({ menu, item })}
        >
          Edit
        </button>
      </li>
    `;
  }

  #editor() {
    const { menu, item } = this.#editing ?? { menu: NEW_MENU };
    const edited = item ?? menu;
    const isNew = (item === undefined ? menu.menuId : item.itemId) === undefined;
    const kind = item === undefined ? "menu" : "item";
    const submit = (event) => {
      event.preventDefault();
      this.#save(event.target);
    };
    return html`
      <dialog id="menu-editor" aria-labelledby="menu-editor-title">
        <form novalidate @submit=${submit} data-testid="menu-editor">
          <h3 id="menu-editor-title">${isNew ? `New ${kind}` : `Edit “${edited.name}”`}</h3>
          ${
            this.#faults[""] === undefined
              ? nothing
              : html`<p class="notice" data-tone="danger" role="alert">${this.#faults[""]}</p>`
          }
          ${item === undefined ? this.#menuFields(menu) : this.#itemFields(item)}
          <div class="actions">
            <button class="primary" data-testid="save" ?disabled=${this.#busy}>Save</button>
            <button type="button" data-testid="close-editor" @click=${() => this.#close()}>
              Cancel
            </button>
            ${isNew ? nothing : this.#removeButton(edited.name)}
          </div>
        </form>
      </dialog>
    `;
  }

  #removeButton(name) {
    return this.#removing
      ? html`<button
          type="button"
          data-testid="remove-confirm"
          ?disabled=${this.#busy}
          @click=${() => this.#removeThis()}
        >
          Remove “${name}” for good
        </button>`
      : html`<button
          type="button"
          class="quiet"
          data-testid="remove"
          @click=${() => {
            this.#removing = true;
            this.#changed();
            queueMicrotask(() => document.querySelector("[data-testid=remove-confirm]").focus());
          }}
        >
          Remove…
        </button>`;
  }

  #menuFields(menu) {
    return html`
      ${this.#text("name", "Name", menu.name, "1 to 65 characters")}
      ${this.#text("description", "Description", menu.description, "At most 200 characters")}
      <div class="pairs">
        ${this.#choice("queueMode", "What is bought", MODES, menu.queueMode)}
        ${this.#choice("visibility", "Who sees it", VISIBILITIES, menu.visibility)}
        ${this.#choice("cardStyle", "Look", STYLES, menu.theme.cardStyle)}
      </div>
      ${this.#text("whitelist", "Who is listed", (menu.whitelist ?? []).join(" "), LISTED_HINT)}
      ${this.#onOffer(menu.active, "A hidden menu sells nothing.")}
    `;
  }

  #itemFields(item) {
    const { type, presetName, strength = 10, durationSec = 5 } = item.vibration ?? {};
    const reaction = type === "PRESET" ? presetName : (type ?? "");
    const reactions = type === "PATTERN" ? [...REACTIONS, DRAWN] : REACTIONS;
    return html`
      ${this.#text("name", "Name", item.name, "1 to 65 characters")}
      ${this.#text("description", "Description", item.description, "At most 200 characters")}
      <div class="pairs">
        ${this.#number("tokenValue", "Tokens", item.tokenValue, "1 to 99,999")}
        ${this.#number("maxDailyPurchases", "A day for each viewer", item.maxDailyPurchases, DAY_HINT)}
        ${this.#number("durationSec", "Seconds on the stage", item.durationSec, STAGE_HINT)}
        ${this.#number("bonusPoints", "Bonus points", item.bonusPoints, "0 or more")}
        ${this.#choice("reaction", "Your toy", reactions, reaction)}
        ${this.#number("strength", "Strength, if steady", strength ?? 10, "1 to 20")}
        ${this.#number("reactionSec", "Seconds that it plays", durationSec, "If it reacts")}
        ${this.#number("startOffsetMs", "Milliseconds before", item.startOffsetMs, "0 to 60,000")}
        ${this.#text("category", "Category", item.category, "At most 40 characters")}
        ${this.#text("icon", "Icon", item.icon, "A character or two")}
        ${this.#number("order", "Place in the menu", item.order, "The lowest is first")}
      </div>
      ${this.#onOffer(item.active, "A hidden item is not sold.")}
    `;
  }

  #text(name, label, value, hint) {
    return inputField({ name, label, value, hint, fault: this.#faults[name] });
  }

  #number(name, label, value, hint) {
    return inputField({ name, label, type: "number", value, hint, fault: this.#faults[name] });
  }

  #choice(name, label, options, value) {
    return selectField({ name, label, options, value, fault: this.#faults[name] });
  }

  #onOffer(value, hint) {
    return switchField({ name: "active", label: "On offer", value, hint });
  }
}

const FORM_FIELDS = [
  ...["name", "description", "queueMode", "visibility", "cardStyle", "whitelist"],
  ...["tokenValue", "maxDailyPurchases", "durationSec", "bonusPoints", "reaction", "strength"],
  ...["reactionSec", "startOffsetMs", "category", "icon", "order"],
];

function menuDraft(form) {
  const data = new FormData(form);
  return {
    name: data.get("name"),
    description: data.get("description"),
    queueMode: data.get("queueMode"),
    visibility: data.get("visibility"),
    theme: { cardStyle: data.get("cardStyle") },
    whitelist: data.get("whitelist").split(/[\s,]+/).filter(Boolean),
    active: data.has("active"),
  };
}

function itemDraft(form, before) {
  const data = new FormData(form);
  // What is no number is sent as null: the server says so of the field.
  const number = (name) => (data.get(name) === "" ? null : Number(data.get(name)));
  return {
    name: data.get("name"),
    description: data.get("description"),
    tokenValue: number("tokenValue"),
    bonusPoints: number("bonusPoints"),
    vibration: vibrationOf(data.get("reaction"), number, before.vibration),
    startOffsetMs: number("startOffsetMs"),
    durationSec: number("durationSec"),
    active: data.has("active"),
    order: number("order"),
    category: data.get("category"),
    icon: data.get("icon"),
    maxDailyPurchases: number("maxDailyPurchases"),
  };
}

function vibrationOf(reaction, number, before) {
  const durationSec = number("reactionSec");
  if (reaction === "") return null;
  if (reaction === "PATTERN") return { ...before, durationSec };
  if (reaction === "LEVEL") return { type: "LEVEL", strength: number("strength"), durationSec };
  // As strong as it counted before: a preset's strength only compares it with others.
  const kept = before?.type === "PRESET" ? { strength: before.strength } : {};
  return { type: "PRESET", presetName: reaction, ...kept, durationSec };
}
