import { ToyFailure } from "./toy_failure.js";

const READY_TIMEOUT_MS = 15_000;

/**
 * Waits for the `ready` event of a vendor's instance (its `on(name, callback)`).
 * @template T
 * @param {{on: (name: string, callback: (instance: T) => void) => void}} instance
 * @returns {Promise<void>} rejects with ToyFailure not_ready after 15 s: the extension or the
 *   script is not there
 */
export function vendorReady(instance) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new ToyFailure("not_ready")), READY_TIMEOUT_MS);
    instance.on("ready", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
