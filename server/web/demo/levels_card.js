/** The simulated product's own settings: which amount moves the toy how. */
import { html } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";

const FIELDS = [
  { field: "min", label: "from", low: 1, high: 99_999 },
  { field: "max", label: "to", low: 1, high: 99_999 },
  { field: "time", label: "seconds", low: 1, high: 120 },
  { field: "vLevel", label: "strength", low: 0, high: 20 },
];

/** @param {import("../simulator/model_levels.js").ModelLevels} levels */
export function levelsCard(levels) {
  return html`
    <section class="card">
      <details data-testid="levels">
        <summary>Tip levels of the simulated toy</summary>
        <div class="column">
          <p class="soft small">
            With this product strength and time are the model's own settings. Tiproom reads them and
            picks the level that comes nearest to what a tip should do.
          </p>
          <div class="table-scroll">
            <table>
              <thead>
                <tr>
                  <th scope="col">Level</th>
                  ${FIELDS.map(({ label }) => html`<th scope="col">${label}</th>`)}
                </tr>
              </thead>
              <tbody>
                ${Object.entries(levels.levels).map(([name, level]) => row(levels, name, level))}
              </tbody>
            </table>
          </div>
          <p class="soft small">
            Exact amounts:
            ${Object.entries(levels.specials)
              .map(([name, { token }]) => `${name} ${token}`)
              .join(", ")}
            tokens.
          </p>
          <label class="switch">
            <span
              ><strong>“clear” has a price</strong
              ><span class="soft small">Without one, nothing can stop what already plays.</span></span
            >
            <input
              type="checkbox"
              role="switch"
              data-testid="clear-priced"
              .checked=${live(levels.clearPriced)}
              @change=${({ target }) => (levels.clearPriced = target.checked)}
            />
          </label>
          <div class="actions">
            <button type="button" @click=${() => levels.reset()}>Reset levels</button>
          </div>
        </div>
      </details>
    </section>
  `;
}

/** Not `live`: what she is typing must not be put back by whatever else happens on the page. */
function row(levels, name, level) {
  const number = name.slice("level".length);
  return html`
    <tr>
      <th scope="row">${number}</th>
      ${FIELDS.map(
        ({ field, label, low, high }) => html`
          <td>
            <input
              type="number"
              aria-label=${`Level ${number} ${label}`}
              min=${low}
              max=${high}
              .value=${String(level[field])}
              @change=${({ target }) => {
                if (target.reportValidity() && target.value !== "")
                  levels.set(name, field, target.valueAsNumber);
              }}
            />
          </td>
        `,
      )}
    </tr>
  `;
}
