/** Who feels a tip besides the model: her own setting, in force at once. */
import { html } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { SYNC_MODES } from "./words.js";

/** @param {{mode: string | undefined, choose: (viewerSyncMode: string) => void}} options
 * mode: undefined while the room is not known */
export function syncCard({ mode, choose }) {
  return html`
    <section class="card" aria-labelledby="sync-title" data-testid="sync">
      <h2 id="sync-title">Who feels a tip</h2>
      <fieldset class="choice stacked" ?disabled=${mode === undefined}>
        <legend class="visually-hidden">Who feels a tip</legend>
        ${Object.entries(SYNC_MODES).map(
          ([each, words]) => html`
            <label>
              <input
                type="radio"
                name="viewerSyncMode"
                value=${each}
                data-testid=${`sync-${each}`}
                .checked=${live(each === mode)}
                @change=${() => choose(each)}
              />
              <span>${words}</span>
            </label>
          `,
        )}
      </fieldset>
    </section>
  `;
}
