/** The protocol's codes in words for people. */

const TIERS = {
  FREE: "Free member",
  VIP_SILVER: "VIP Silver",
  VIP_GOLD: "VIP Gold",
  VIP_PLATINUM: "VIP Platinum",
  VIP_DIAMOND: "VIP Diamond",
};

const INTEGRATIONS = { EXTENSION: "Cam Extension", CAM_KIT: "Cam Kit" };

/** Mode -> who feels a tip. */
export const SYNC_MODES = {
  OFF: "Only my toy",
  SHARED_MOMENT: "My toy and the tipper's",
  VIP_ROOM_SYNC: "Also VIPs who want to feel all tips",
};

/** Mode -> title, and what it means for who waits. */
export const QUEUE_MODES = {
  fifo: ["First come, first served", "In the order of the tips."],
  priority: ["Larger tips first", "Waiting counts, too: nobody waits for ever."],
  batch: ["All together", "What waits plays as one: the strongest, for all their time."],
};

/** Why a tip's moment was not played (the server's reasons). */
const REASONS = {
  lovense_disabled: "toys are switched off on this site",
  no_vibration: "this amount moves no toy",
  not_present: "the model's page is not open",
  no_toy: "the model's toy is not connected",
  no_level_map: "the model's levels have nothing that fits",
  preset_unavailable: "the model's levels do not have this pattern",
  broadcast_ended: "the broadcast has ended",
  stopped: "toys were stopped",
  queue_full: "too many tips are waiting",
  waited_too_long: "it waited too long",
  no_answer: "the model's page did not answer",
  page_reported: "the toy did not react",
  moment_passed: "its moment was over",
};

/** Why a page could not play a command (its own words to the server). */
const FAILURES = {
  no_toy: "your toy is not connected",
  no_evidence: "your toy did not react",
  toy_lost: "your toy was lost while it played",
  vendor_error: "the product's script failed",
  stopped: "stopped",
  expired: "it came too late",
};

/** @param {string} tier */
export const tierName = (tier) => TIERS[tier] ?? tier;
/** @param {string} integration */
export const integrationName = (integration) => INTEGRATIONS[integration] ?? integration;
/** @param {string | null | undefined} reason */
export const reasonWords = (reason) => REASONS[reason] ?? "it did not reach the toy";

/** @param {number | null} seconds until what plays is over at the latest; null: not known */
export function noStopWords(seconds) {
  const most = seconds === null ? "" : `, in ${Math.ceil(seconds)}\u00a0s at the latest`;
  return (
    "Your settings have no price for “clear”, so nothing can stop what your toy plays now: it runs " +
    `to its end${most}. Switch it off at the toy or in the app. Nothing new starts.`
  );
}

/** @param {string} code */
export const failureWords = (code) => FAILURES[code] ?? "your toy did not react";

/** @param {{type: string, durationSec: number, strength?: number, presetName?: string}} vibration
 * @returns {string} of a row of a tip menu */
export function vibrationWords({ type, durationSec, strength, presetName }) {
  const what = {
    LEVEL: `Strength ${strength} of 20`,
    PRESET: `Preset ${presetName}`,
    PATTERN: "Drawn pattern",
  }[type];
  return `${what}, ${durationSec}\u00a0s`;
}

/** @param {number} seconds  @returns {string} "about 40 s", "about 3 min" */
export function aboutSeconds(seconds) {
  return seconds < 90
    ? `about ${Math.max(1, Math.round(seconds))} s`
    : `about ${Math.round(seconds / 60)} min`;
}
