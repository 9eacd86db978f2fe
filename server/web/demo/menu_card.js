/** The model's tip menu, and a try of each row on her own toy: no tip, nobody else's toy. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { SettledRead } from "./settled_read.js";
import { failureWords, vibrationWords } from "./words.js";

/**
 * @typedef {object} Try the last one
 * @property {string} rowId
 * @property {"asked" | "sent" | "reacting" | "done" | "failed"} state
 * @property {string} [testId]  @property {object} [fit]  @property {number} [seconds]
 * @property {string} [words] why it failed
 */

/** A page that has not answered by then will not: the server has given the test up. */
const ANSWER_MS = 12_000;

export class MenuCard {
  #menu;
  #ask;
  #changed;
  /** @type {Try | null} */
  #try = null;
  #timer = 0;

  /**
   * @param {object} options
   * @param {() => Promise<any>} options.read asks the server for the menu
   * @param {(frame: object) => Promise<any>} options.ask over her socket
   * @param {() => void} options.changed what is shown has changed
   */
  constructor({ read, ask, changed }) {
    this.#menu = new SettledRead({ read, changed });
    this.#ask = ask;
    this.#changed = changed;
  }

  reload() {
    this.#menu.reload();
  }

  /** What this page answers to the server's commands. @param {{type: string}} frame */
  answered({ type, commandId, code }) {
    if (commandId !== this.#try?.testId || this.#try.state !== "sent") return;
    if (type === "commandActivated") {
      this.#set({ state: "reacting" });
      this.#after(this.#try.seconds * 1000, { state: "done" });
    } else if (type === "commandFailed") {
      this.#set({ state: "failed", words: failureWords(code) });
    }
  }

  /** All toys stop, hers too. */
  stopped() {
    if (["sent", "reacting"].includes(this.#try?.state)) {
      this.#set({ state: "failed", words: "stopped" });
    }
  }

  async #start(rowId) {
    if (this.#busy) return;
    this.#try = { rowId, state: "asked" };
    this.#changed();
    try {
      const { testId, fit, seconds } = await this.#ask({ type: "testActivation", rowId });
      this.#set({ state: "sent", testId, fit, seconds });
      this.#after(ANSWER_MS, { state: "failed", words: "your toy did not answer" });
    } catch ({ message, retryAfterS }) {
      const again = retryAfterS ? ` Try again in ${Math.ceil(retryAfterS)} s.` : "";
      this.#set({ state: "failed", words: message + again });
    }
  }

  get #busy() {
    return ["asked", "sent", "reacting"].includes(this.#try?.state);
  }

  #set(change) {
    clearTimeout(this.#timer);
    this.#try = { ...this.#try, ...change };
    this.#changed();
  }

  #after(waitMs, change) {
    this.#timer = setTimeout(() => this.#set(change), waitMs);
  }

  /** @param {boolean} online */
  template(online) {
    const rows = this.#menu.value?.rows;
    return html`
      <section class="card" aria-labelledby="menu-title" data-testid="menu">
        <div class="card-head">
          <h2 id="menu-title">Try your tip menu</h2>
          <span class="soft small">Your toy only. No tokens.</span>
        </div>
        ${
          rows === undefined
            ? html`<p class="empty">Your menu is not known yet.</p>`
            : rows.length === 0
              ? html`<p class="empty">Your menu has no rows.</p>`
              : html`<ul class="rows" data-testid="menu-rows">
                  ${rows.map((row) => this.#row(row, online))}
                </ul>`
        }
      </section>
    `;
  }

  #row(row, online) {
    const mine = this.#try?.rowId === row.rowId ? this.#try : null;
    // Not `disabled`: that would take the focus from whoever has just pressed it.
    const off = !online || this.#busy;
    return html`
      <li class="menu-row" data-amount=${row.tipAmount}>
        <span class="amount">${row.tipAmount}</span>
        <span class="grow">
          ${row.description} ${row.active ? nothing : html`<span class="soft">(hidden)</span>`}
          <span class="soft small block">${vibrationWords(row.vibration)}</span>
        </span>
        <button
          type="button"
          class="small-button"
          data-testid="try"
          aria-label=${`Try ${row.description}, ${row.tipAmount} tokens, on your toy`}
          aria-disabled=${String(off)}
          @click=${() => !off && this.#start(row.rowId)}
        >
          Try
        </button>
        <p class="outcome small" role="status" data-testid="try-outcome" data-state=${mine?.state ?? ""}>
          ${mine === null ? nothing : outcome(mine)}
        </p>
      </li>
    `;
  }
}

/** @param {Try} tried */
function outcome({ state, fit, seconds, words }) {
  const [tone, text] = {
    asked: ["", "Asking…"],
    sent: ["", "On its way to your toy…"],
    reacting: ["accent", `Your toy reacts, for ${Math.round(seconds)} s`],
    done: ["good", "Your toy reacted"],
    failed: ["danger", "Not played"],
  }[state];
  const why = state === "failed" ? words : state === "asked" || state === "sent" ? "" : fitWords(fit);
  return html`<span class="pill" data-tone=${tone}>${text}</span>
    ${why === "" ? nothing : html`<span class="soft">${sentence(why)}</span>`}`;
}

/** What was chosen of her own settings. @param {object} fit */
function fitWords({ kind, level, strengthDifference, secondsDifference }) {
  const what = /^level\d+$/.test(level) ? `level ${level.slice(5)}` : `“${level}”`;
  if (kind === "exact") return `as meant, by ${what}`;
  const off = [
    strengthDifference > 0 && `${strengthDifference} of 20 in strength`,
    secondsDifference > 0 && `${Math.round(secondsDifference * 10) / 10}\u00a0s`,
  ].filter(Boolean);
  return off.length === 0 ? `by ${what}` : `by ${what}, off by ${off.join(" and ")}`;
}

function sentence(words) {
  return words[0].toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}
