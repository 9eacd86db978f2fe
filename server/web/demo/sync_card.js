/** Who feels a tip besides the model: her own setting, in force at once. */
import { html } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { SYNC_MODES } from "./words.js";

/** @param {{room: object | null, choose: (viewerSyncMode: string) => void}} options */
export function syncCard({ room, choose }) {
  return html`
    <section class="card" aria-labelledby="sync-title" data-testid="sync">
      <h2 id="sync-title">Who feels a tip</h2>
      <fieldset class="choice stacked" ?disabled=${room === null}>
        <legend class="visually-hidden">Who feels a tip</legend>
        ${Object.entries(SYNC_MODES).map(
          ([mode, words]) => html`
            <label>
              <input
                type="radio"
                name="viewerSyncMode"
                value=${mode}
                data-testid=${`sync-${mode}`}
                .checked=${live(room?.viewerSyncMode === mode)}
                @change=${() => choose(mode)}
              />
              <span>${words}</span>
            </label>
          `,
        )}
      </fieldset>
    </section>
  `;
}
