/** The demo's front door: whom do you want to be? */
import { html } from "../vendor/lit-html/lit-html.js";
import { page, pageHead, showStartFailure } from "./page.js";
import { openSession } from "./session.js";
import { tierName } from "./words.js";

async function start() {
  const { users } = await openSession("model");
  const viewers = users.filter(({ role }) => role === "viewer");
  const model = users.find(({ role }) => role === "model");
  page(
    () => html`
      ${pageHead({ title: "Whom do you want to be?" })}
      <p class="soft">Open the model's page in one window and a viewer's in another, then tip.</p>
      <nav class="people" aria-label="Roles">
        <a class="person lead" href="/demo/model">
          <span class="avatar" aria-hidden="true">${initial(model.username)}</span>
          <span
            ><strong>${model.username}</strong><br /><span class="soft"
              >the model, in one window only</span
            ></span
          >
        </a>
        ${viewers.map(
          ({ as, username, membershipTier }) => html`
            <a class="person" href=${`/demo/viewer?as=${encodeURIComponent(as)}`}>
              <span class="avatar" aria-hidden="true">${initial(username)}</span>
              <span
                ><strong>${username}</strong><br /><span class="soft small"
                  >${tierName(membershipTier)}</span
                ></span
              >
            </a>
          `,
        )}
      </nav>
    `,
  )();
}

function initial(name) {
  return name.slice(0, 1).toUpperCase();
}

start().catch(showStartFailure);
