/**
 * The one integration of this page: loads the vendor's script that the server names (or lets the
 * page put a simulator in its place) and gives the started adapter.
 *
 * A vendor's script cannot be unloaded: another integration means another page. The script comes
 * from the vendor's own host, changes there at any time, and so has no integrity hash.
 */
import { NoToyAdapter } from "./no_toy.js";
import { ToyFailure } from "./toy_failure.js";

const SCRIPT_TIMEOUT_MS = 15_000;

/**
 * @typedef {object} ToySession what `GET /lovense/session` answers; tokens in it act as this user
 * @property {"EXTENSION" | "CAM_KIT" | "BASIC_SDK"} integration
 * @property {boolean} simulated the server has no developer token
 * @property {string | null} scriptUrl
 * @property {string} [websiteName] @property {string} [modelName] the model's page
 * @property {string | null} [modelToken] the model's page on Cam Kit
 * @property {string} [uid] @property {string} [platform] @property {string | null} [authToken]
 *   a viewer's page
 */

/**
 * @param {ToySession} session
 * @param {(session: ToySession) => Promise<void>} simulate puts a simulator's global in place;
 *   called only if the session is simulated
 * @returns {Promise<{adapter: any, failure: ToyFailure | null}>} failure: why there is no toy on
 *   this page (not_loaded, not_ready, vendor_error); the adapter then says so to the server
 */
export async function openToys(session, simulate) {
  const { integration, simulated, scriptUrl } = session;
  if (simulated) {
    await simulate(session);
    return { adapter: await started(session), failure: null };
  }
  try {
    await loadScript(scriptUrl);
    return { adapter: await started(session), failure: null };
  } catch (error) {
    console.warn("tiproom: no toy on this page", error);
    return {
      adapter: new NoToyAdapter(integration),
      failure: error instanceof ToyFailure ? error : new ToyFailure("vendor_error", error?.message),
    };
  }
}

async function started(session) {
  const adapter = await ADAPTERS[session.integration](session);
  await adapter.start();
  // One that cannot tell these is not up, whatever it says.
  await adapter.toys();
  await adapter.settings();
  return adapter;
}

/** Each is imported only where it is the one. */
const ADAPTERS = {
  async EXTENSION({ websiteName, modelName }) {
    const { CamExtensionAdapter } = await import("./cam_extension.js");
    return new CamExtensionAdapter({
      CamExtension: declared("CamExtension", () => CamExtension),
      websiteName,
      modelName,
    });
  },
  async CAM_KIT({ simulated, modelToken }) {
    const { CamKitAdapter } = await import("./cam_kit.js");
    return new CamKitAdapter({
      lovense: declared("lovense", () => lovense),
      modelToken: simulated ? "simulated" : modelToken,
    });
  },
  async BASIC_SDK({ simulated, uid, platform, authToken }) {
    const { BasicSdkAdapter } = await import("./basic_sdk.js");
    return new BasicSdkAdapter({
      LovenseBasicSdk: declared("LovenseBasicSdk", () => LovenseBasicSdk),
      uid,
      platform,
      authToken: simulated ? "simulated" : authToken,
    });
  },
};

/** The global that the script declares; by its bare name, for not every one is on `window`. */
function declared(name, read) {
  try {
    const found = read();
    if (found !== undefined) return found;
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error;
  }
  throw new ToyFailure("not_loaded", `the vendor's script has not declared ${name}`);
}

/** @param {string} url */
function loadScript(url) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const failed = () => {
      clearTimeout(timer);
      // Its address may hold a token: no name in the message.
      reject(new ToyFailure("not_loaded", "the vendor's script was not loaded"));
    };
    const timer = setTimeout(failed, SCRIPT_TIMEOUT_MS);
    script.addEventListener("error", failed);
    script.addEventListener("load", () => {
      clearTimeout(timer);
      resolve();
    });
    script.src = url;
    document.head.append(script);
  });
}
