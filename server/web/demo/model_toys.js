/**
 * The model's toys on this page: exactly one integration, chosen before the page loads anything of
 * it. A vendor's script cannot be unloaded, so another integration means a fresh page.
 */
import { ModelLevels } from "../simulator/model_levels.js";
import { SimulatedToy } from "../simulator/simulated_toy.js";
import { TipPlayer } from "../simulator/tip_player.js";

const OWNER = "model";
const CHOICE_KEY = "tiproom.demo.integration";

/** @typedef {"EXTENSION" | "CAM_KIT"} Integration */

/** `?integration=` for one visit, else what was chosen last. @returns {Integration} */
export function chosenIntegration() {
  const asked = new URLSearchParams(location.search).get("integration");
  return (asked ?? localStorage.getItem(CHOICE_KEY)) === "CAM_KIT" ? "CAM_KIT" : "EXTENSION";
}

/** Loads the page anew with this integration. @param {Integration} integration */
export function switchTo(integration) {
  localStorage.setItem(CHOICE_KEY, integration);
  location.assign("/demo/model");
}

/**
 * The simulated product of one integration, and its adapter, started.
 * @param {Integration} integration  @param {string} modelName
 */
export async function startToys(integration, modelName) {
  const toy = new SimulatedToy({ owner: OWNER, connected: true });
  const levels = new ModelLevels(OWNER);
  const player = new TipPlayer({ toy, levels, owner: OWNER });
  const adapter = await ADAPTERS[integration](player, modelName);
  await adapter.start();
  return { toy, levels, player, adapter };
}

const ADAPTERS = {
  async EXTENSION(player, modelName) {
    const [{ installCamExtension }, { CamExtensionAdapter }] = await Promise.all([
      import("../simulator/cam_extension.js"),
      import("../sdk/cam_extension.js"),
    ]);
    installCamExtension(player);
    const { CamExtension } = globalThis;
    return new CamExtensionAdapter({ CamExtension, websiteName: "test:Tiproom", modelName });
  },
  async CAM_KIT(player) {
    const [{ installCamKit }, { CamKitAdapter }] = await Promise.all([
      import("../simulator/cam_kit.js"),
      import("../sdk/cam_kit.js"),
    ]);
    installCamKit(player);
    const { lovense } = globalThis;
    return new CamKitAdapter({ lovense, modelToken: "simulated" });
  },
};
