/**
 * What the server reads of the vendor's toys and settings, cut out of what the vendor gives.
 * Values stay as loose as they come; the server makes them strict.
 */

const TOY_FIELDS = [
  "id",
  "name",
  "type",
  "toyType",
  "nickName",
  "nickname",
  "status",
  "connected",
  "battery",
  "version",
  "fVersion",
];
const SCALARS = ["string", "number", "boolean"];

/** @param {object[]} toys  @returns {object[]} */
export function toyReport(toys) {
  return toys.map((toy) => {
    const functions = toy.fullFunctionNames;
    return {
      ...pick(toy, TOY_FIELDS),
      ...(Array.isArray(functions) && { fullFunctionNames: functions }),
    };
  });
}

/** @param {{levels?: object, special?: object} | null | undefined} settings
 * @returns {{levels: object, special: object} | null} null: the vendor knows none yet */
export function settingsReport(settings) {
  if (!settings?.levels) return null;
  return { levels: scalars(settings.levels), special: scalars(settings.special ?? {}) };
}

/**
 * The price of the special that empties the vendor's queue and stops its toys: the only stop that
 * the model's products have.
 * @param {{special: object} | null} settings as reported  @returns {number | null} tokens
 */
export function clearPrice(settings) {
  const { clear } = settings?.special ?? {};
  const price = Number(clear?.token);
  const enabled = clear?.enable === undefined || isOn(clear.enable);
  return enabled && Number.isInteger(price) && price > 0 ? price : null;
}

/**
 * How long the model's own settings make a tip of this amount play.
 * @param {{levels: object, special: object} | null} settings as reported
 * @param {number} amount  @returns {number | null} seconds; null: they do not say
 */
export function secondsOfTip(settings, amount) {
  const specials = Object.values(settings?.special ?? {});
  const special = specials.find(({ token }) => Number(token) === amount);
  const levels = Object.values(settings?.levels ?? {});
  const played =
    special ??
    levels.find(({ min, max }) => amount >= Number(min) && !(amount > Number(max ?? Infinity)));
  const seconds = Number(played?.time);
  return seconds > 0 ? seconds : null;
}

/** @param {object} toy  @returns {boolean} */
export function isOnline(toy) {
  return isOn(toy.connected ?? toy.status);
}

function isOn(flag) {
  return ["1", "on", "true"].includes(String(flag).toLowerCase());
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
