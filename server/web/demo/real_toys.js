/** What a page shows of real toys: the ones that the vendor's script tells of, or why there are none. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { isOnline } from "../sdk/vendor_report.js";

const WORDS = {
  not_loaded:
    "Lovense’s script could not be loaded. Check the connection and any blocker, then reload the page.",
  not_ready:
    "Lovense did not answer. Is its extension installed and switched on? Then reload the page.",
  vendor_error: "Lovense’s script failed. Reload the page.",
  VENDOR_REFUSED: "Lovense refused this site. The site’s operator has to mend it.",
  VENDOR_UNAVAILABLE: "Lovense cannot be reached now. Reload the page in a minute.",
  RATE_LIMITED: "Lovense was asked too often. Reload the page in a minute.",
};

/** The banner of a demo page says simulated, until the page knows better. */
export function announceRealToys() {
  document.getElementById("demo-toys").textContent = "Real toys";
}

/** @param {{code: string, message: string} | null} failure */
export function failureNotice(failure) {
  if (failure === null) return nothing;
  return html`<p class="notice" data-tone="danger" role="alert" data-testid="toy-failure">
    ${WORDS[failure.code] ?? failure.message} Tips settle; no toy moves from this page.
  </p>`;
}

/** @param {object[]} toys as an adapter reports them */
export function toyList(toys) {
  if (toys.length === 0) return html`<p class="empty">No toy is connected.</p>`;
  return html`<ul class="rows" data-testid="real-toys">
    ${toys.map(
      (toy) =>
        html`<li>
          <span class="grow"><strong>${toy.nickname || toy.nickName || toy.name}</strong></span>
          ${toy.battery === undefined ? nothing : html`<span class="soft">${toy.battery}%</span>`}
          <span class="pill" data-tone=${isOnline(toy) ? "good" : ""}
            >${isOnline(toy) ? "Connected" : "Off"}</span
          >
        </li>`,
    )}
  </ul>`;
}
