/**
 * Evidence that a model's toy reacts to our tip: the vendor's script lists it as running.
 *
 * The vendor gives tips no id, so a tip is known by amount and name. Equal tips are told apart by
 * counting: one has started when more of them run than before, or when one still runs and one
 * less waits behind it. Tips play first in, first out.
 */
import { ToyFailure } from "./toy_failure.js";

/** A tip that the vendor's own queue still holds back after this long has missed its moment. */
const EVIDENCE_TIMEOUT_MS = 20_000;

export class RunningTips {
  #running = [];
  #queued = [];
  /** @type {Set<{matches: (tip: object) => boolean, missing: number, resolve: () => void}>} */
  #expected = new Set();

  /**
   * A new state of the vendor's queue; a part that is left out is as it was.
   * @param {{running?: object[], queue?: object[], waiting?: object[]}} change
   */
  update({ running, queue, waiting }) {
    const nextRunning = running ?? this.#running;
    const nextQueued = queue || waiting ? [...(queue ?? []), ...(waiting ?? [])] : this.#queued;
    for (const each of this.#expected) {
      const [before, after] = [count(this.#running, each), count(nextRunning, each)];
      const left = count(this.#queued, each) - count(nextQueued, each);
      const started =
        after > before ? after - before : after === before && after > 0 ? Math.max(0, left) : 0;
      each.missing -= started;
      if (each.missing <= 0) each.resolve();
    }
    this.#running = nextRunning;
    this.#queued = nextQueued;
  }

  /** Of what runs, only these still do. Ends tips, is never evidence of a start.
   * @param {object[]} running */
  keepRunning(running) {
    this.#running = this.#running.filter((tip) =>
      running.some(matcher(tip.amount, tip.tipperName)),
    );
  }

  /**
   * Resolves when the tip that is given to the vendor *after* this call runs.
   * @param {any} amount  @param {any} name  @param {AbortSignal} signal
   * @returns {Promise<void>} rejects with ToyFailure: no_evidence, or the signal's reason
   */
  expect(amount, name, signal) {
    const matches = matcher(amount, name);
    const ahead = this.#queued.filter(matches).length;
    return this.#wait({ matches, missing: ahead + 1 }, signal);
  }

  /** Resolves when such a tip runs, now or soon; for one that was given before this page's life.
   * @param {any} amount  @param {any} name  @param {AbortSignal} signal
   * @returns {Promise<void>} */
  watch(amount, name, signal) {
    const matches = matcher(amount, name);
    if (this.#running.some(matches)) return Promise.resolve();
    return this.#wait({ matches, missing: 1 }, signal);
  }

  #wait(expected, signal) {
    return new Promise((resolve, reject) => {
      const end = (settle) => () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
        this.#expected.delete(expected);
        settle();
      };
      const onAbort = end(() => reject(signal.reason));
      const timer = setTimeout(
        end(() => reject(new ToyFailure("no_evidence"))),
        EVIDENCE_TIMEOUT_MS,
      );
      expected.resolve = end(resolve);
      signal.addEventListener("abort", onAbort);
      this.#expected.add(expected);
    });
  }
}

function matcher(amount, name) {
  return (tip) => Number(tip.amount) === Number(amount) && String(tip.tipperName) === String(name);
}

function count(tips, expected) {
  return tips.filter(expected.matches).length;
}
