// A member of a room on Node's `ws`: not our code, not our language. It speaks one JSON line per
// event on standard output and sends one frame per JSON line on standard input.
//
//   node tipper.js URL SUBPROTOCOL
//
//   {"event": "open", "subprotocol": ...}   {"event": "frame", "frame": {...}}
//   {"event": "close", "code": ..., "reason": ...}   {"event": "error", "text": ...}
"use strict";

const readline = require("node:readline");
const { decode, encode } = require("@msgpack/msgpack");
const WebSocket = require("ws");

const [url, subprotocol] = process.argv.slice(2);
const binary = subprotocol === "tiproom.v1.msgpack";
const socket = new WebSocket(url, [subprotocol]);

function say(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

function decoded(data, isBinary) {
  if (isBinary !== binary) {
    throw new Error(`a ${isBinary ? "binary" : "text"} message on ${subprotocol}`);
  }
  return binary ? decode(data) : JSON.parse(data.toString());
}

socket.on("open", () => {
  say({ event: "open", subprotocol: socket.protocol });
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    socket.send(binary ? encode(JSON.parse(line)) : line);
  });
  lines.on("close", () => socket.close(1000));
});
socket.on("message", (data, isBinary) => say({ event: "frame", frame: decoded(data, isBinary) }));
socket.on("error", (error) => say({ event: "error", text: error.message }));
socket.on("close", (code, reason) => {
  say({ event: "close", code, reason: reason.toString() });
  process.stdin.destroy();
});
