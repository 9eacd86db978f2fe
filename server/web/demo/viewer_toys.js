/** A viewer's toy on this page: the Basic JS SDK, the vendor's or the simulated one. */
import { NoToyAdapter } from "../sdk/no_toy.js";
import { ToyFailure } from "../sdk/toy_failure.js";
import { openToys } from "../sdk/vendor.js";
import { SimulatedPhone, installBasicSdk } from "../simulator/basic_sdk.js";
import { SimulatedToy } from "../simulator/simulated_toy.js";
import { connectsItself } from "./auto_connect.js";

/**
 * @typedef {object} ViewerToys
 * @property {any} adapter
 * @property {Error | null} failure why there is no toy on this page
 * @property {boolean} waits until the viewer asks for it, with `connectNow`
 * @property {{toy: SimulatedToy, phone: SimulatedPhone} | null} simulator
 */

/** @param {string} owner  @param {(path: string) => Promise<any>} get
 * @returns {Promise<ViewerToys>} */
export async function openViewerToys(owner, get) {
  let session;
  try {
    session = await get("/lovense/session");
  } catch (error) {
    const failure = new ToyFailure(error.code, error.message);
    return { adapter: new NoToyAdapter("BASIC_SDK"), failure, waits: false, simulator: null };
  }
  const simulator = session.simulated ? newSimulator(owner) : null;
  if (!connectsItself(session)) {
    return { adapter: new NoToyAdapter("BASIC_SDK"), failure: null, waits: true, simulator };
  }
  const opened = await openToys(session, async () => installBasicSdk(simulator.phone));
  return { ...opened, waits: false, simulator };
}

function newSimulator(owner) {
  const toy = new SimulatedToy({ owner, connected: false });
  return { toy, phone: new SimulatedPhone(toy, owner) };
}
