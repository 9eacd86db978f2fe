/**
 * Why a command did not reach a toy. `code` goes to the server with `commandFailed`:
 * expired, stopped, no_toy, toy_lost, no_evidence, interrupted, wrong_integration,
 * unknown_method, bad_arguments, not_ready, vendor_error. not_loaded: the vendor's script is not
 * there; it never goes to the server.
 */
export class ToyFailure extends Error {
  /** @param {string} code  @param {string} [detail] for the console, never sent */
  constructor(code, detail) {
    super(detail ?? code);
    this.name = "ToyFailure";
    this.code = code;
  }
}
