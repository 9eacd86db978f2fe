/**
 * Who this page plays, and the tokens for it. The issuer behind it exists only in the demo: a real
 * site gives its own pages their tokens.
 */

/**
 * @typedef {object} DemoSession
 * @property {string} socketUrl
 * @property {string} roomId
 * @property {object[]} users everyone who can be played
 * @property {() => Promise<import("../sdk/client.js").Credentials>} fetchCredentials
 * @property {(path: string) => Promise<any>} get reads a resource, as this user
 * @property {(path: string, change: object) => Promise<any>} patch changes a resource, as this user
 * @property {(path: string, body: object) => Promise<any>} put the same
 * @property {(path: string, body: object) => Promise<any>} post the same
 * @property {(path: string) => Promise<any>} remove a resource, as this user
 */

/** @param {string} as `model` or a viewer's name  @returns {Promise<DemoSession>} */
export async function openSession(as) {
  const { socketUrl, roomId, users, ...first } = await issue(as);
  /** @type {object | null} */
  let unused = first;
  const fetchCredentials = async () => {
    const { token, expiresAt } = unused ?? (await issue(as));
    unused = null;
    return { token, expiresAtMs: Date.parse(expiresAt) };
  };
  const get = (path) => askAs(as, path, "GET");
  const patch = (path, change) => askAs(as, path, "PATCH", change);
  const put = (path, body) => askAs(as, path, "PUT", body);
  const post = (path, body) => askAs(as, path, "POST", body);
  const remove = (path) => askAs(as, path, "DELETE");
  return { socketUrl, roomId, users, fetchCredentials, get, patch, put, post, remove };
}

/** Changes the site's settings, as its admin. @param {object} change */
export function changeSite(change) {
  return askAs("admin", "/admin/settings", "PATCH", change);
}

async function askAs(as, path, method, body) {
  const { token } = await issue(as);
  return exchange(path, method, body, { authorization: `Bearer ${token}` });
}

function issue(as) {
  return exchange("/demo/tokens", "POST", { as });
}

/** Rejects with the server's own words, its `code`, and the `errors` of single fields, where it
 * refuses. */
async function exchange(path, method, body, headers = {}) {
  const response = await fetch(path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) {
    const { code, detail, title, field } = answer;
    const errors = answer.errors ?? (field === undefined ? [] : [{ field, detail }]);
    throw Object.assign(new Error(detail ?? title), { code, errors });
  }
  return answer;
}

const PAGE_ID_KEY = "tiproom.pageId";

/**
 * One page's id: the same after a reload, another in a duplicated tab, whose copied
 * sessionStorage would otherwise make two living pages look like one.
 * @returns {string}
 */
export function pageId() {
  const [navigation] = performance.getEntriesByType("navigation");
  const kept = sessionStorage.getItem(PAGE_ID_KEY);
  const id = kept !== null && navigation?.type === "reload" ? kept : crypto.randomUUID();
  sessionStorage.setItem(PAGE_ID_KEY, id);
  return id;
}
