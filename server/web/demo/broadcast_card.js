/** Going live with one integration, and ending it. */
import { html } from "../vendor/lit-html/lit-html.js";
import { integrationName } from "./words.js";

const CHOICES = [
  ["EXTENSION", "The browser extension reacts to tips."],
  ["CAM_KIT", "The vendor's script in this page does."],
];

/**
 * @param {object} options
 * @param {object | null} options.room
 * @param {string} options.integration the one this page runs
 * @param {boolean} options.online
 * @param {(mode: string) => void} options.goLive
 * @param {() => void} options.end
 */
export function broadcastCard({ room, integration, online, goLive, end }) {
  return html`
    <section class="card" aria-labelledby="broadcast-title" data-testid="broadcast">
      <h2 id="broadcast-title">Broadcast</h2>
      ${room?.live ? onAir({ room, online, end }) : offAir({ integration, online, goLive })}
    </section>
  `;
}

function onAir({ room, online, end }) {
  return html`
    <p>
      Live with
      <strong data-testid="active-integration">${integrationName(room.lovenseMode)}</strong>.
      <span class="soft">Another integration takes effect with a new broadcast.</span>
    </p>
    <div class="actions">
      <button type="button" data-testid="end-broadcast" ?disabled=${!online} @click=${end}>
        End broadcast
      </button>
    </div>
  `;
}

function offAir({ integration, online, goLive }) {
  const submit = (event) => {
    event.preventDefault();
    goLive(new FormData(event.target).get("integration"));
  };
  return html`
    <form class="column" @submit=${submit}>
      <fieldset class="choice">
        <legend class="visually-hidden">Integration</legend>
        ${CHOICES.map(
          ([value, words]) => html`
            <label>
              <input
                type="radio"
                name="integration"
                value=${value}
                ?checked=${value === integration}
              />
              <span
                ><strong>${integrationName(value)}</strong
                ><span class="soft small">${words}</span></span
              >
            </label>
          `,
        )}
      </fieldset>
      <div class="actions">
        <button type="submit" class="primary" data-testid="go-live" ?disabled=${!online}>
          Go live
        </button>
      </div>
    </form>
  `;
}
