/**
 * SIMULATOR. `<toy-view>`: draws one simulated toy, and says in words what it does.
 *
 * Set its `toy`. Attributes for styles and tests: `data-strength` (0..20), `data-connected`. The
 * body shakes with the strength; for people who prefer reduced motion only the meter moves.
 * Styles: toy_view.css.
 */
import { html, nothing, render, svg } from "../vendor/lit-html/lit-html.js";

const STRENGTH_MAX = 20;
const METER = Array.from({ length: STRENGTH_MAX }, (_, index) => index + 1);
const RINGS = [78, 92, 106];
const SHAKE_MAX_PX = 7;
/** Two frequencies that do not divide each other look like a motor, not like a pendulum. */
const SHAKE_HZ = [23, 17];

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

export class ToyView extends HTMLElement {
  /** @type {import("./simulated_toy.js").SimulatedToy | null} */
  #toy = null;
  #frame = 0;
  #spoken = "";

  set toy(toy) {
    this.#toy?.removeEventListener("change", this.#update);
    this.#toy = toy;
    toy.addEventListener("change", this.#update);
    this.#update();
  }

  get toy() {
    return this.#toy;
  }

  disconnectedCallback() {
    cancelAnimationFrame(this.#frame);
    this.#toy?.removeEventListener("change", this.#update);
  }

  #update = () => {
    const { strength, connected, playing } = this.#toy;
    this.dataset.strength = String(strength);
    this.dataset.connected = String(connected);
    this.dataset.playing = String(playing);
    this.#spoken = this.#sentence();
    render(this.#template(), this);
    if (strength > 0 && !stillness.matches) this.#frame ||= requestAnimationFrame(this.#shake);
  };

  /** Said once when the toy starts and once when it rests, not at every step of a pattern. */
  #sentence() {
    const { name, connected, playing, strength } = this.#toy;
    if (!connected) return `${name} is not connected.`;
    if (!playing) return `${name} is at rest.`;
    return this.#spoken.includes("reacting")
      ? this.#spoken
      : `${name} is reacting, strength ${strength} of ${STRENGTH_MAX}.`;
  }

  #shake = (nowMs) => {
    this.#frame = 0;
    const body = this.querySelector(".toy-body");
    const { strength } = this.#toy;
    if (strength === 0 || stillness.matches) {
      body.setAttribute("transform", "");
      return;
    }
    const reach = (SHAKE_MAX_PX * strength) / STRENGTH_MAX;
    const [x, y] = SHAKE_HZ.map((hz) => reach * Math.sin((nowMs / 1000) * hz * 2 * Math.PI));
    body.setAttribute(
      "transform",
      `translate(${x.toFixed(2)} ${(y / 2).toFixed(2)}) rotate(${(x / 3).toFixed(2)} 120 120)`,
    );
    this.#frame = requestAnimationFrame(this.#shake);
  };

  #template() {
    const { name, connected, battery, strength } = this.#toy;
    return html`
      <svg class="toy-drawing" viewBox="0 0 240 230" aria-hidden="true">
        <defs>
          <radialGradient id="toy-skin" cx="38%" cy="28%" r="80%">
            <stop class="toy-skin-light" offset="0" />
            <stop class="toy-skin-mid" offset="0.55" />
            <stop class="toy-skin-deep" offset="1" />
          </radialGradient>
        </defs>
        ${RINGS.map((radius, index) => this.#ring(radius, index))}
        <ellipse class="toy-shadow" cx="120" cy="206" rx="52" ry="7" />
        <g class="toy-body">
          <path class="toy-tail" d="M122 66 C118 40 140 18 158 26 C176 34 170 60 146 66" />
          <path
            class="toy-pebble"
            d="M120 62 C160 62 180 96 180 130 C180 168 154 192 120 192 C86 192 60 168 60 130 C60 96 80 62 120 62 Z"
          />
          <path class="toy-shine" d="M82 118 C84 98 96 82 112 78" />
          <circle class="toy-light" cx="120" cy="162" r="6" />
        </g>
      </svg>
      <div class="toy-facts">
        <strong>${name}</strong>
        <span class="toy-state">${connected ? "Connected" : "Not connected"}</span>
        ${
          connected
            ? html`<span class="toy-battery" data-low=${String(battery <= 20)}
                >Battery ${battery}%</span
              >`
            : nothing
        }
      </div>
      <div
        class="toy-meter"
        role="meter"
        aria-label="Strength"
        aria-valuemin="0"
        aria-valuemax=${STRENGTH_MAX}
        aria-valuenow=${strength}
      >
        <span class="toy-bars" aria-hidden="true">
          ${METER.map((step) => html`<i data-on=${String(step <= strength)}></i>`)}
        </span>
        <span class="toy-number">${strength}<small>/${STRENGTH_MAX}</small></span>
      </div>
      <p class="visually-hidden" aria-live="polite">${this.#spoken}</p>
    `;
  }

  #ring(radius, index) {
    const { strength } = this.#toy;
    const shown = strength > (index * STRENGTH_MAX) / (RINGS.length + 1);
    return svg`<circle class="toy-ring" data-on=${String(shown)} cx="120" cy="127" r=${radius} />`;
  }
}

customElements.define("toy-view", ToyView);
