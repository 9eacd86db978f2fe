/**
 * In place of an adapter whose product did not come up: the page goes on with everything but a
 * toy, and the server hears that there is none.
 */
import { ToyFailure } from "./toy_failure.js";

export class NoToyAdapter extends EventTarget {
  /** @param {"EXTENSION" | "CAM_KIT" | "BASIC_SDK"} integration the one that is missing */
  constructor(integration) {
    super();
    this.integration = integration;
  }

  async toys() {
    return [];
  }

  async settings() {
    return null;
  }

  appConnected() {
    return false;
  }

  async pairingCode() {
    throw new ToyFailure("no_toy");
  }

  async run() {
    throw new ToyFailure("no_toy");
  }

  async watch() {
    throw new ToyFailure("no_toy");
  }

  async stop() {}

  async stopCall() {
    return null;
  }
}
