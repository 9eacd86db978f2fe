/**
 * The model's toys on this page: exactly one integration, the one of her broadcast. With real toys
 * there is no drawn toy, and no table of levels that could be edited here.
 */
import { NoToyAdapter } from "../sdk/no_toy.js";
import { ToyFailure } from "../sdk/toy_failure.js";
import { openToys } from "../sdk/vendor.js";
import { ModelLevels } from "../simulator/model_levels.js";
import { SimulatedToy } from "../simulator/simulated_toy.js";
import { TipPlayer } from "../simulator/tip_player.js";
import { connectsItself } from "./auto_connect.js";

const OWNER = "model";

/** @typedef {"EXTENSION" | "CAM_KIT"} Integration */

/**
 * @typedef {object} ModelToys
 * @property {any} adapter
 * @property {Error | null} failure why there is no toy on this page
 * @property {boolean} waits until she asks for it, with `connectNow`
 * @property {string | null} settingsUrl the vendor's page of her own levels, for her alone
 * @property {{toy: SimulatedToy, levels: ModelLevels, player: TipPlayer} | null} simulator
 */

/** Loads the page anew, with the integration of the broadcast, or with `integration` for once.
 * @param {Integration} [integration] */
export function reopen(integration) {
  location.assign(integration ? `/demo/model?integration=${integration}` : "/demo/model");
}

/** @param {(path: string) => Promise<any>} get  @returns {Promise<ModelToys>} */
export async function openModelToys(get) {
  const asked = new URLSearchParams(location.search).get("integration");
  let session;
  try {
    session = await get("/lovense/session");
  } catch (error) {
    // Of a model's two products only Cam Kit needs the vendor, so it will be the one that failed.
    return {
      adapter: new NoToyAdapter(asked in INSTALLERS ? asked : "CAM_KIT"),
      failure: new ToyFailure(error.code, error.message),
      waits: false,
      settingsUrl: null,
      simulator: null,
    };
  }
  // Real products come with tokens and scripts of the one integration that the server names.
  if (session.simulated && asked in INSTALLERS) session = { ...session, integration: asked };
  const { settingsUrl } = session;
  const simulator = session.simulated ? newSimulator() : null;
  if (!connectsItself(session)) {
    const adapter = new NoToyAdapter(session.integration);
    return { adapter, failure: null, waits: true, settingsUrl, simulator };
  }
  const opened = await openToys(session, () => INSTALLERS[session.integration](simulator.player));
  return { ...opened, waits: false, settingsUrl, simulator };
}

function newSimulator() {
  const toy = new SimulatedToy({ owner: OWNER, connected: true });
  const levels = new ModelLevels(OWNER);
  return { toy, levels, player: new TipPlayer({ toy, levels, owner: OWNER }) };
}

const INSTALLERS = {
  async EXTENSION(player) {
    const { installCamExtension } = await import("../simulator/cam_extension.js");
    installCamExtension(player);
  },
  async CAM_KIT(player) {
    const { installCamKit } = await import("../simulator/cam_kit.js");
    installCamKit(player);
  },
};
