/** What waits for the toys, who comes next, and the order that the site has chosen. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { QUEUE_MODES, aboutSeconds } from "./words.js";

/** @param {object} queue the server's frame */
export function queueCard(queue) {
  const { waiting, paused, playing, nextInS, upcoming } = queue;
  const [tone, state] = paused
    ? ["warn", "Paused"]
    : playing === null
      ? ["", "Idle"]
      : ["accent", "Playing"];
  const next = nextInS === null ? "" : `, the next ${inWords(nextInS)}`;
  return html`
    <section class="card" aria-labelledby="queue-title" data-testid="queue">
      <div class="card-head">
        <h2 id="queue-title">Queue</h2>
        <span class="pill" data-testid="queue-state" data-tone=${tone}>${state}</span>
      </div>
      <p>
        <span class="big-number">${waiting}</span>
        <span class="soft">${waiting === 1 ? "tip waits" : "tips wait"}${next}</span>
      </p>
      ${
        upcoming.length === 0
          ? nothing
          : html`<ol class="rows" data-testid="upcoming" aria-label="Next tips">
              ${repeat(
                upcoming,
                ({ tipId }) => tipId,
                ({ username, amount, waitS }) => html`
                  <li data-amount=${amount}>
                    <span class="amount">${amount}</span>
                    <span class="grow">${username}</span>
                    <span class="soft small number">${waitS === null ? "" : inWords(waitS)}</span>
                  </li>
                `,
              )}
            </ol>`
      }
      ${
        waiting > upcoming.length
          ? html`<p class="soft small">and ${waiting - upcoming.length} more</p>`
          : nothing
      }
    </section>
  `;
}

/** In the demo anybody may play the site's admin, too.
 * @param {{mode: string | undefined, choose: (mode: string) => void}} options
 * mode: undefined while it is not known */
export function queueModeCard({ mode, choose }) {
  return html`
    <section class="card" aria-labelledby="mode-title" data-testid="queue-mode">
      <div class="card-head">
        <h2 id="mode-title">How tips wait</h2>
        <span class="soft small">Set by the site, for all rooms</span>
      </div>
      <fieldset class="choice stacked" ?disabled=${mode === undefined}>
        <legend class="visually-hidden">Queue mode</legend>
        ${Object.entries(QUEUE_MODES).map(
          ([each, [title, words]]) => html`
            <label>
              <input
                type="radio"
                name="queueMode"
                value=${each}
                data-testid=${`mode-${each}`}
                .checked=${live(each === mode)}
                @change=${() => choose(each)}
              />
              <span><strong>${title}</strong><span class="soft small">${words}</span></span>
            </label>
          `,
        )}
      </fieldset>
    </section>
  `;
}

const inWords = (waitS) => (waitS < 1 ? "now" : `in ${aboutSeconds(waitS)}`);
