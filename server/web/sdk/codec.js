/**
 * The two encodings of frames; the socket's subprotocol chooses one. Fields that are undefined
 * are left out: to the server, absent and null differ.
 */
import { decode, encode } from "../vendor/msgpack/msgpack.js";

/**
 * @typedef {object} Codec
 * @property {string} subprotocol
 * @property {(frame: object) => string | Uint8Array} encode
 * @property {(data: string | ArrayBuffer) => any} decode
 */

/** @type {{msgpack: Codec, json: Codec}} */
export const CODECS = {
  msgpack: {
    subprotocol: "tiproom.v1.msgpack",
    encode: (frame) => encode(frame, { ignoreUndefined: true }),
    decode: (data) => decode(/** @type {ArrayBuffer} */ (data)),
  },
  json: {
    subprotocol: "tiproom.v1.json",
    encode: (frame) => JSON.stringify(frame),
    decode: (data) => JSON.parse(/** @type {string} */ (data)),
  },
};
