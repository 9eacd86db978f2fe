/**
 * Runs the server's commands on this page's toys: each commandId once, one after the other.
 *
 * Every delivery is answered `commandAccepted`, then `commandActivated` or `commandFailed`. A
 * command that is delivered again (the answer was lost, the page was reloaded, another tab of the
 * member's is asked) is not run again: it is answered as it was the first time. So what has been
 * started is kept in localStorage, which all tabs share. It is written *before* the vendor's
 * script is called: a page that dies in between has run the command at most once.
 */
import { CommandLog } from "./command_log.js";
import { ToyFailure } from "./toy_failure.js";

/**
 * @typedef {object} VendorCall
 * @property {"EXTENSION" | "CAM_KIT" | "BASIC_SDK"} integration
 * @property {string} method
 * @property {any[]} args
 *
 * @typedef {object} Command
 * @property {string} commandId
 * @property {VendorCall} call
 * @property {number} expiresAt server's clock, milliseconds since 1970
 *
 * @typedef {object} Adapter what the three integrations have in common
 * @property {string} integration
 * @property {() => Promise<void>} start resolves when the vendor's script is ready
 * @property {() => Promise<object[]>} toys
 * @property {() => Promise<object | null>} settings null: this integration has none
 * @property {(call: VendorCall, signal: AbortSignal) => Promise<void>} run resolves when there
 *   is evidence that the toy reacts; rejects with ToyFailure
 * @property {(call: VendorCall, signal: AbortSignal) => Promise<void>} watch the same, for a call
 *   that was made before this page was loaded: only looks, never calls
 * @property {(call: VendorCall | null) => Promise<void>} stop
 */

export class CommandRunner {
  #adapter;
  #tell;
  #serverNowMs;
  #log;
  /** @type {Command[]} */
  #waiting = [];
  /** @type {{command: Command, abort: AbortController} | null} */
  #current = null;

  /**
   * @param {object} options
   * @param {Adapter} options.adapter
   * @param {(frame: {type: string}) => void} options.tell sends an answer to the server
   * @param {() => number} options.serverNowMs
   * @param {string} options.storageKey names this page's member
   */
  constructor({ adapter, tell, serverNowMs, storageKey }) {
    this.#adapter = adapter;
    this.#tell = tell;
    this.#serverNowMs = serverNowMs;
    this.#log = new CommandLog(storageKey);
  }

  /** One delivery of a command.
   * @param {Command} command */
  accept(command) {
    const { commandId } = command;
    const past = this.#log.get(commandId);
    if (past === undefined && this.#serverNowMs() > command.expiresAt) {
      // Not remembered: it was never started, so a later delivery may still run in its own time.
      this.#answer(commandId, { state: "failed", code: "expired" });
      return;
    }
    this.#tell({ type: "commandAccepted", commandId });
    if (past !== undefined && past.state !== "started") {
      this.#answer(commandId, past);
    } else if (!this.#isUnderWay(commandId)) {
      this.#waiting.push(command);
      this.#next();
    }
  }

  /** Everything ends now: what waits fails, what runs is given up, the toy is told.
   * @param {VendorCall | null} call the vendor's own stop, where the integration has one */
  async stop(call) {
    for (const { commandId } of this.#waiting.splice(0)) {
      const answer = { state: "failed", code: "stopped" };
      this.#log.set(commandId, answer);
      this.#answer(commandId, answer);
    }
    this.#current?.abort.abort(new ToyFailure("stopped"));
    await this.#adapter.stop(call);
  }

  #isUnderWay(commandId) {
    return (
      this.#current?.command.commandId === commandId ||
      this.#waiting.some((each) => each.commandId === commandId)
    );
  }

  #next() {
    if (this.#current !== null) return;
    const command = this.#waiting.shift();
    if (command === undefined) return;
    if (this.#log.get(command.commandId) !== undefined) {
      // Started before this page was loaded, or by another tab meanwhile: the call is made, only
      // its evidence is open.
      this.#settle(command, (signal) => this.#adapter.watch(command.call, signal));
    } else if (this.#serverNowMs() > command.expiresAt) {
      this.#answer(command.commandId, { state: "failed", code: "expired" });
      this.#next();
    } else {
      this.#log.set(command.commandId, { state: "started" });
      this.#settle(command, (signal) => this.#adapter.run(command.call, signal));
    }
  }

  async #settle(command, work) {
    const abort = new AbortController();
    this.#current = { command, abort };
    const answer = await work(abort.signal).then(
      () => ({ state: "activated" }),
      (error) => {
        if (error instanceof ToyFailure) return { state: "failed", code: error.code };
        console.error("tiproom: the vendor's script failed", error);
        return { state: "failed", code: "vendor_error" };
      },
    );
    this.#log.set(command.commandId, answer);
    this.#answer(command.commandId, answer);
    this.#current = null;
    this.#next();
  }

  #answer(commandId, { state, code }) {
    if (state === "activated") this.#tell({ type: "commandActivated", commandId });
    else this.#tell({ type: "commandFailed", commandId, code });
  }
}
