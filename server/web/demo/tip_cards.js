/** Sending tips, and how the own ones fare. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { aboutSeconds, reasonWords } from "./words.js";

const AMOUNT_MAX = 99_999;

/**
 * @param {object} options
 * @param {object | null} options.room  @param {object | null} options.self
 * @param {(amount: number) => void} options.send
 */
export function tipCard({ room, self, send }) {
  const live = room?.live ?? false;
  const submit = (event) => {
    event.preventDefault();
    send(Number(new FormData(event.target).get("amount")));
  };
  return html`
    <section class="card" aria-labelledby="tip-title">
      <div class="card-head">
        <h2 id="tip-title">Send a tip</h2>
        <span class="soft">
          Balance
          <strong class="number" data-testid="balance">${self?.balance ?? "…"}</strong> tokens
        </span>
      </div>
      ${
        room !== null && !live
          ? html`<p class="notice" data-testid="offline-notice">
              Tips open when ${room.modelDisplayName} goes live.
            </p>`
          : nothing
      }
      ${
        live && room.toysPaused
          ? html`<p class="notice" data-tone="warn">
              ${room.modelDisplayName} has paused the toys. Tips settle and wait.
            </p>`
          : nothing
      }
      <div class="tip-options">
        ${(room?.tipOptions ?? []).map(
          ({ amount, description }) => html`
            <button
              type="button"
              data-testid=${`tip-${amount}`}
              ?disabled=${!live}
              @click=${() => send(amount)}
            >
              <strong>${amount}</strong><span>${description}</span>
            </button>
          `,
        )}
      </div>
      <form class="custom-tip" @submit=${submit}>
        <label class="field">
          Other amount
          <input
            type="number"
            name="amount"
            min="1"
            max=${AMOUNT_MAX}
            step="1"
            required
            inputmode="numeric"
            data-testid="custom-amount"
            ?disabled=${!live}
          />
        </label>
        <button type="submit" class="primary" data-testid="custom-tip" ?disabled=${!live}>
          Send tip
        </button>
      </form>
    </section>
  `;
}

/** @param {import("./tip_book.js").TipEntry[]} entries
 * @param {(entry: import("./tip_book.js").TipEntry) => void} sendAgain */
export function ownTipsCard(entries, sendAgain) {
  return html`
    <section class="card" aria-labelledby="own-tips-title">
      <h2 id="own-tips-title">Your tips</h2>
      ${entries.length === 0 ? html`<p class="empty">What you tip shows up here, with what it did.</p>` : nothing}
      <ol class="rows" aria-live="polite" data-testid="own-tips">
        ${repeat(
          entries,
          ({ tipId }) => tipId,
          (entry) => html`
            <li data-testid="own-tip" data-tip-id=${entry.tipId} data-state=${entry.state}>
              <span class="amount">${entry.amount}</span>
              <span class="grow">${entry.itemName ?? "Tip"}</span>
              ${fate(entry)}
              ${
                entry.state === "unknown"
                  ? html`<button class="quiet" type="button" @click=${() => sendAgain(entry)}>
                      Try again
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

function fate({ state, position, waitS, reason }) {
  const wait = waitS == null ? "" : `, ${aboutSeconds(waitS)}`;
  const [tone, words] = {
    sending: ["", "Sending"],
    settled: ["", "Settled"],
    queued: ["warn", `Waiting, number ${position}${wait}`],
    playing: ["accent", "Playing"],
    done: ["good", "Reached the toy"],
    not_played: ["", `Settled; ${reasonWords(reason)}`],
    unknown: ["danger", "Outcome unknown"],
  }[state];
  return html`<span class="pill" data-tone=${tone}>${words}</span>`;
}
