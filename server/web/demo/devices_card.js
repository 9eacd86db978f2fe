/** The own toys as the server keeps them: what they are, what they may never do, and warnings. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { live } from "../vendor/lit-html/directives/live.js";
import { repeat } from "../vendor/lit-html/directives/repeat.js";
import { SettledRead } from "./settled_read.js";

const STRENGTH_MAX = 20;
const LOW_BATTERY_PERCENT = 20;
const STATUS = {
  connected: ["good", "Connected"],
  disconnected: ["", "Not connected"],
  error: ["danger", "Failed last time"],
};

export class DevicesCard {
  #devices;
  #put;
  #remove;
  #changed;
  #note;
  /** deviceId -> the strength under a slider that is being dragged */
  #dragged = {};
  /** deviceId -> what became of the last change */
  #said = {};
  /** @type {Map<string, {deviceId: string, name: string, kind: string, battery: number | null}>} */
  #warnings = new Map();
  #leaving = false;

  /**
   * @param {object} options
   * @param {(path: string) => Promise<any>} options.get
   * @param {(path: string, body: object) => Promise<any>} options.put
   * @param {(path: string) => Promise<any>} options.remove
   * @param {() => void} options.changed what is shown has changed
   * @param {string} options.note what a limit means on this page
   */
  constructor({ get, put, remove, changed, note }) {
    this.#put = put;
    this.#remove = remove;
    this.#changed = changed;
    this.#note = note;
    const read = async () => {
      const { devices } = await get("/lovense/devices");
      this.#endWarnings(devices);
      return devices;
    };
    this.#devices = new SettledRead({ read, changed });
  }

  reload() {
    this.#devices.reload();
  }

  /** The owner is disconnecting it: not worth a warning. */
  expectLoss() {
    this.#leaving = true;
  }

  /** The server's frame. @param {{deviceId: string, name: string, kind: string}} warning */
  warn(warning) {
    if (warning.kind === "connection" && this.#leaving) {
      this.#leaving = false;
      return;
    }
    this.#warnings.set(`${warning.deviceId} ${warning.kind}`, warning);
    this.reload();
    this.#changed();
  }

  #endWarnings(devices) {
    for (const { deviceId, status, battery } of devices) {
      if (status !== "disconnected") this.#warnings.delete(`${deviceId} connection`);
      if (battery > LOW_BATTERY_PERCENT) this.#warnings.delete(`${deviceId} battery`);
    }
  }

  /** Read out when one comes; the region is there before it. */
  warningsTemplate() {
    return html`
      <div class="warnings" role="status" aria-live="polite" data-testid="device-warnings">
        ${repeat(
          this.#warnings,
          ([key]) => key,
          ([key, warning]) => html`
            <div class="notice dismissable" data-tone="warn" data-kind=${warning.kind}>
              <span>${warningWords(this.#nameOf(warning), warning)}</span>
              <button
                class="quiet"
                type="button"
                aria-label=${`Dismiss: ${this.#nameOf(warning)}`}
                @click=${() => {
                  this.#warnings.delete(key);
                  this.#changed();
                }}
              >
                Dismiss
              </button>
            </div>
          `,
        )}
      </div>
    `;
  }

  #nameOf({ deviceId, name }) {
    const device = this.#devices.value?.find((each) => each.deviceId === deviceId);
    return device === undefined ? name : nameOf(device);
  }

  template() {
    const devices = this.#devices.value;
    return html`
      <section class="card" aria-labelledby="devices-title" data-testid="devices">
        <h2 id="devices-title">My toys</h2>
        ${
          devices === null
            ? html`<p class="empty">Your toys are not known yet.</p>`
            : devices.length === 0
              ? html`<p class="empty">A toy shows up here once it has been connected.</p>`
              : html`<ul class="rows">
                    ${repeat(
                      devices,
                      ({ deviceId }) => deviceId,
                      (device) => this.#device(device),
                    )}
                  </ul>
                  <p class="soft small">${this.#note}</p>`
        }
      </section>
    `;
  }

  #device(device) {
    const { deviceId, name, battery, status, override } = device;
    const [tone, words] = STATUS[status];
    const strength = this.#dragged[deviceId] ?? override.maxStrength;
    const id = (part) => `${part}-${deviceId}`;
    return html`
      <li class="device" data-testid="device" data-status=${status}>
        <div class="device-head">
          <span class="grow"
            ><strong>${nameOf(device)}</strong>
            ${nameOf(device) === name ? nothing : html`<span class="soft">${name}</span>`}</span
          >
          ${
            battery === null
              ? nothing
              : html`<span
                  class="small number"
                  data-testid="device-battery"
                  data-low=${String(battery <= LOW_BATTERY_PERCENT)}
                  >Battery ${battery}%</span
                >`
          }
          <span class="pill" data-testid="device-status" data-tone=${tone}>${words}</span>
        </div>
        <label class="switch">
          <span><strong>Takes part</strong></span>
          <input
            type="checkbox"
            role="switch"
            data-testid="device-enabled"
            .checked=${live(override.enabled)}
            @change=${({ target }) => this.#change(device, { enabled: target.checked })}
          />
        </label>
        <details data-testid="device-limits">
          <summary>
            Limit and name
            <span class="soft small number">${limitWords(override)}</span>
          </summary>
          <div class="column">
            <div class="field">
              <label for=${id("strength")}>Strength at most</label>
              <div class="slider">
                <input
                  id=${id("strength")}
                  type="range"
                  min="0"
                  max=${STRENGTH_MAX}
                  step="1"
                  data-testid="device-strength"
                  aria-valuetext=${strengthWords(strength)}
                  .value=${live(String(strength))}
                  @input=${({ target }) => this.#drag(deviceId, target.valueAsNumber)}
                  @change=${({ target }) => this.#change(device, { maxStrength: target.valueAsNumber })}
                />
                <output for=${id("strength")} class="number">${strengthWords(strength)}</output>
              </div>
            </div>
            <form
              class="nickname"
              @submit=${(event) => {
                event.preventDefault();
                const nickname = new FormData(event.target).get("nickname").trim();
                if (nickname !== "") this.#change(device, { nickname });
              }}
            >
              <label class="field">
                Nickname
                <input
                  type="text"
                  name="nickname"
                  maxlength="64"
                  autocomplete="off"
                  data-testid="device-nickname"
                  .value=${device.nickname}
                />
              </label>
              <button type="submit" data-testid="device-save">Save name</button>
              ${
                status === "disconnected"
                  ? html`<button
                      type="button"
                      class="quiet"
                      data-testid="device-forget"
                      aria-label=${`Forget ${nameOf(device)} and its limits`}
                      @click=${() => this.#forget(device)}
                    >
                      Forget
                    </button>`
                  : nothing
              }
            </form>
          </div>
        </details>
        <p class="small outcome" role="status" data-testid="device-said">${this.#said[deviceId] ?? nothing}</p>
      </li>
    `;
  }

  #drag(deviceId, strength) {
    this.#dragged[deviceId] = strength;
    this.#changed();
  }

  async #change({ deviceId }, change) {
    await this.#say(deviceId, async () => {
      const changed = await this.#put(`/lovense/devices/${deviceId}`, change);
      this.#devices.value = this.#devices.value.map((each) =>
        each.deviceId === deviceId ? changed : each,
      );
      return "Saved.";
    });
  }

  async #forget({ deviceId }) {
    await this.#say(deviceId, async () => {
      await this.#remove(`/lovense/devices/${deviceId}`);
      this.#devices.value = this.#devices.value.filter((each) => each.deviceId !== deviceId);
      return "";
    });
  }

  /** Shows what became of `work`, beside the toy. What was refused is shown as it is stored. */
  async #say(deviceId, work) {
    this.#said[deviceId] = "";
    try {
      this.#said[deviceId] = await work();
    } catch ({ message }) {
      this.#said[deviceId] = message;
    }
    delete this.#dragged[deviceId];
    this.#changed();
  }
}

const nameOf = ({ nickname, name }) => nickname || name;

const limitWords = ({ maxStrength }) =>
  maxStrength === STRENGTH_MAX ? "no limit" : `at most ${strengthWords(maxStrength)}`;

function strengthWords(strength) {
  if (strength === 0) return "nothing";
  return strength === STRENGTH_MAX ? "no limit" : `${strength} of ${STRENGTH_MAX}`;
}

function warningWords(name, { kind, battery }) {
  return kind === "battery"
    ? `${name} is nearly empty: ${battery} % left. Charge it soon.`
    : `${name} is no longer connected. Nothing reaches it until it is back.`;
}
