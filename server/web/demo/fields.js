/** Fields of a form whose faults the server names: each shows its own beside it. */
import { html, nothing } from "../vendor/lit-html/lit-html.js";

/**
 * A refusal's faults by the form's fields; under "" what belongs to none.
 * @param {{message: string, errors?: {field: string | null, detail: string}[]}} error
 * @param {Record<string, string>} names the server's field -> the form's, where they differ
 * @param {string[]} known the form's fields
 */
export function faultsOf({ message, errors = [] }, names, known) {
  const faults = {};
  for (const { field, detail } of errors) {
    const path = field ?? "";
    const name = names[path] ?? path.split(/[.[]/)[0];
    faults[known.includes(name) ? name : ""] ??= detail;
  }
  return Object.keys(faults).length > 0 ? faults : { "": message };
}

/**
 * @param {object} options
 * @param {string} options.name  @param {string} options.label
 * @param {string} [options.type] of the input: text, number
 * @param {unknown} options.value what it begins with
 * @param {string} [options.hint] what may stand there
 * @param {string} [options.fault] what the server says of it
 */
export function inputField({ name, label, type = "text", value, hint, fault }) {
  return html`
    <div class="field">
      <label for=${`field-${name}`}>${label}</label>
      <input
        id=${`field-${name}`}
        type=${type}
        step=${type === "number" ? "any" : nothing}
        name=${name}
        value=${value ?? ""}
        autocomplete="off"
        data-testid=${`field-${name}`}
        aria-invalid=${String(fault !== undefined)}
        aria-describedby=${describedBy(name, hint, fault)}
      />
      ${said(name, hint, fault)}
    </div>
  `;
}

/** As `inputField`. @param {{options: [string, string][]}} more value and words of each choice */
export function selectField({ name, label, options, value, hint, fault }) {
  return html`
    <div class="field">
      <label for=${`field-${name}`}>${label}</label>
      <select
        id=${`field-${name}`}
        name=${name}
        data-testid=${`field-${name}`}
        aria-invalid=${String(fault !== undefined)}
        aria-describedby=${describedBy(name, hint, fault)}
      >
        ${options.map(
          ([each, words]) =>
            html`<option value=${each} ?selected=${each === value}>${words}</option>`,
        )}
      </select>
      ${said(name, hint, fault)}
    </div>
  `;
}

/** @param {{name: string, label: string, value: boolean, hint: string}} options */
export function switchField({ name, label, value, hint }) {
  return html`
    <label class="switch">
      <span><strong>${label}</strong><span class="soft small">${hint}</span></span>
      <input
        type="checkbox"
        role="switch"
        name=${name}
        ?checked=${value}
        data-testid=${`field-${name}`}
      />
    </label>
  `;
}

/** To the first field with a fault, which is then read with it. @param {HTMLFormElement} form */
export function focusFault(form) {
  form.querySelector("[aria-invalid=true]")?.focus();
}

function said(name, hint, fault) {
  return html`
    ${hint === undefined ? nothing : html`<span class="hint" id=${`hint-${name}`}>${hint}</span>`}
    ${
      fault === undefined
        ? nothing
        : html`<span class="fault" id=${`fault-${name}`} data-testid=${`fault-${name}`}>${fault}</span>`
    }
  `;
}

function describedBy(name, hint, fault) {
  const ids = [fault && `fault-${name}`, hint && `hint-${name}`].filter(Boolean);
  return ids.length === 0 ? nothing : ids.join(" ");
}
