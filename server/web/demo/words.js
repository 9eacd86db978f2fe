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
};

/** @param {string} tier */
export const tierName = (tier) => TIERS[tier] ?? tier;
/** @param {string} integration */
export const integrationName = (integration) => INTEGRATIONS[integration] ?? integration;
/** @param {string | null | undefined} reason */
export const reasonWords = (reason) => REASONS[reason] ?? "it did not reach the toy";

/** @param {number} seconds  @returns {string} "about 40 s", "about 3 min" */
export function aboutSeconds(seconds) {
  return seconds < 90
    ? `about ${Math.max(1, Math.round(seconds))} s`
    : `about ${Math.round(seconds / 60)} min`;
}
