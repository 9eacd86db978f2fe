/** What the model's own settings make of her tip menu, and the levels that would play all of it. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { SettledRead } from "./settled_read.js";

const STRENGTH_MAX = 20;

/**
 * @typedef {object} ProposedLevel
 * @property {string} name "level1", ...
 * @property {number} min tokens
 * @property {number} max tokens
 * @property {number} time seconds
 * @property {number} vLevel strength, 1..20
 */

export class CoverageCard {
  #found;
  #use;

  /**
   * @param {object} options
   * @param {() => Promise<any>} options.read asks the server
   * @param {() => void} options.changed what is shown has changed
   * @param {((levels: ProposedLevel[]) => void) | null} options.use puts the proposed levels in
   *   place of hers; null: only she can, in the product
   */
  constructor({ read, changed, use }) {
    this.#found = new SettledRead({ read, changed });
    this.#use = use;
  }

  reload() {
    this.#found.reload();
  }

  template() {
    const found = this.#found.value;
    const off = found?.rows.filter(isOff) ?? [];
    return html`
      <section class="card" aria-labelledby="coverage-title" data-testid="coverage">
        <div class="card-head">
          <h2 id="coverage-title">Tip menu on your toy</h2>
          ${statePill(found, off)}
        </div>
        ${found?.known ? known(found, off, this.#use) : unknown()}
      </section>
    `;
  }
}

function statePill(found, off) {
  const [tone, words] = !found?.known
    ? ["", "Not known yet"]
    : off.length === 0
      ? ["good", "All as meant"]
      : ["warn", `${off.length} of ${found.rows.length} differ`];
  return html`<span class="pill" role="status" data-testid="coverage-state" data-tone=${tone}
    >${words}</span
  >`;
}

const unknown = () => html`
  <p class="soft">Tiproom has not read your toy's settings yet.</p>
`;

function known({ rows, proposal, strengthMax }, off, use) {
  const standIns = rows.filter((row) => row.type === "PATTERN" && !isOff(row)).length;
  return html`
    ${off.length === 0 ? html`<p>Your settings play every row as it is meant.</p>` : list(off)}
    ${
      strengthMax === STRENGTH_MAX
        ? nothing
        : html`<p class="notice small" data-testid="own-limit">
            You limit your toy to strength ${strengthMax} of ${STRENGTH_MAX}: what is stronger plays
            weaker, whatever your levels are.
          </p>`
    }
    ${
      standIns === 0
        ? nothing
        : html`<p class="soft small">
            ${standIns === 1 ? "A drawn pattern plays" : `${standIns} drawn patterns play`} as a
            steady level of the same mean strength: this product takes no patterns.
          </p>`
    }
    ${off.length === 0 ? nothing : proposed(proposal, use)}
  `;
}

function list(off) {
  return html`
    <ul class="rows" data-testid="coverage-rows">
      ${off.map(
        (row) => html`
          <li data-kind=${row.kind} data-amount=${row.tipAmount}>
            <span class="amount">${row.tipAmount} tokens</span>
            <span class="grow">${row.description}</span>
            <span class="coverage-words small">${words(row)}</span>
          </li>
        `,
      )}
    </ul>
  `;
}

function proposed({ levels, specials }, use) {
  return html`
    <details data-testid="proposal">
      <summary>Settings that play every row as it is meant</summary>
      <div class="column">
        ${levels.length === 0 ? nothing : levelTable(levels, use)}
        ${
          specials.length === 0
            ? nothing
            : html`<p data-testid="needed-specials">
                Enable and price, as specials:
                ${specials.map(({ name, time }) => `${name} for ${time} s`).join(", ")}.
              </p>`
        }
      </div>
    </details>
  `;
}

function levelTable(levels, use) {
  return html`
    <p class="soft small">
      Levels to enter in your product's own settings, in place of those there.
      ${use === null ? nothing : "The button does it for the simulated toy."}
    </p>
    <div class="table-scroll" role="region" aria-labelledby="proposal-caption" tabindex="0">
      <table>
        <caption id="proposal-caption" class="visually-hidden">
          Proposed tip levels
        </caption>
        <thead>
          <tr>
            <th scope="col">Level</th>
            <th scope="col">from</th>
            <th scope="col">to</th>
            <th scope="col">seconds</th>
            <th scope="col">strength</th>
          </tr>
        </thead>
        <tbody>
          ${levels.map(
            ({ name, min, max, time, vLevel }) => html`
              <tr class="number">
                <th scope="row">${levelNumber(name)}</th>
                <td>${min}</td>
                <td>${max}</td>
                <td>${time}</td>
                <td>${vLevel}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
    ${
      use === null
        ? nothing
        : html`<div class="actions">
            <button type="button" data-testid="use-levels" @click=${() => use(levels)}>
              Use these levels
            </button>
          </div>`
    }
  `;
}

/** Whether a tip of this row does something else than the row says. */
function isOff(row) {
  if (row.type !== "PATTERN") return row.kind !== "exact";
  return row.kind === "impossible" || row.strengthDifference > 0 || row.secondsDifference > 0;
}

/** What happens instead. */
function words(row) {
  if (row.reason === "preset_unavailable") {
    return "Does not play: your settings have no special of that name, or it plays too long.";
  }
  if (row.kind === "impossible") return "Does not play: your settings have no level for it.";
  const off = [
    row.strengthDifference > 0 && `${row.strengthDifference} of 20 in strength`,
    row.secondsDifference > 0 && `${seconds(row.secondsDifference)}\u00a0s`,
  ].filter(Boolean);
  const number = levelNumber(row.level);
  const what = number === row.level ? `“${row.level}”` : `level ${number}`;
  return `Plays ${what}, off by ${off.join(" and ")}.`;
}

const levelNumber = (name) => name.replace(/^level/, "");

const seconds = (value) => String(Math.round(value * 10) / 10);
