/** SIMULATOR. The `on(name, callback)` of the vendor's instances. */
export class Listeners {
  /** @type {Map<string, Function[]>} */
  #callbacks = new Map();

  on(name, callback) {
    this.#callbacks.set(name, [...(this.#callbacks.get(name) ?? []), callback]);
  }

  emit(name, data) {
    for (const callback of this.#callbacks.get(name) ?? []) callback(data);
  }
}
