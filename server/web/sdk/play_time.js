/**
 * Until when the model's toy may play at most, by her own settings. Counted from the evidence that
 * a tip runs; kept in sessionStorage, for what plays does not end with a reload of the page.
 */
import { secondsOfTip } from "./vendor_report.js";

const KEY = "tiproom.playsUntil";

/** A tip runs now. @param {object | null} settings as reported  @param {number} amount */
export function noteRunning(settings, amount) {
  const seconds = secondsOfTip(settings, amount);
  if (seconds !== null) sessionStorage.setItem(KEY, String(Date.now() + seconds * 1000));
}

/** The vendor was told to end it. */
export function noteStopped() {
  sessionStorage.removeItem(KEY);
}

/** @returns {number | null} null: as far as the page knows nothing plays */
export function playsForS() {
  const leftMs = Number(sessionStorage.getItem(KEY) ?? 0) - Date.now();
  return leftMs > 0 ? leftMs / 1000 : null;
}
