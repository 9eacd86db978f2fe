/**
 * What the server reads of the vendor's toys and settings, cut out of what the vendor gives.
 * Values stay as loose as they come; the server makes them strict.
 */

const TOY_FIELDS = ["id", "name", "type", "toyType", "nickName", "nickname", "status", "connected", "battery"];
const SCALARS = ["string", "number", "boolean"];

/** @param {object[]} toys  @returns {object[]} */
export function toyReport(toys) {
  return toys.map((toy) => pick(toy, TOY_FIELDS));
}

/** @param {{levels?: object, special?: object} | null | undefined} settings
 * @returns {{levels: object, special: object} | null} null: the vendor knows none yet */
export function settingsReport(settings) {
  if (!settings?.levels) return null;
  return { levels: scalars(settings.levels), special: scalars(settings.special ?? {}) };
}

/** @param {object} toy  @returns {boolean} */
export function isOnline(toy) {
  return ["1", "on", "true"].includes(String(toy.connected ?? toy.status).toLowerCase());
}

/** Entries may hold lists (of toys, of patterns); the level map needs none of them. */
function scalars(entries) {
  return Object.fromEntries(
    Object.entries(entries)
      .filter(([, entry]) => typeof entry === "object" && entry !== null)
      .map(([name, entry]) => [name, pick(entry, Object.keys(entry))]),
  );
}

function pick(source, fields) {
  return Object.fromEntries(
    fields
      .filter((field) => SCALARS.includes(typeof source[field]))
      .map((field) => [field, source[field]]),
  );
}
