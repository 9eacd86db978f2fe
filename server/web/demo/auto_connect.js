/**
 * Whether this page connects to its toys by itself: the site's `lovenseEnableAutoConnect` and a
 * model's own `autoConnect`. If not, it does once its user says so, for this load of the page.
 */

/** @param {{autoConnect: boolean}} session as the server answers  @returns {boolean} */
export function connectsItself(session) {
  return session.autoConnect || new URLSearchParams(location.search).get("connect") === "now";
}

/** Loads the page anew, with its toys. */
export function connectNow() {
  const address = new URL(location.href);
  address.searchParams.set("connect", "now");
  location.assign(address);
}
