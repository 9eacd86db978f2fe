// Node's `ws` against an echo server: each case opens a socket of its own, says something, compares
// what comes back, closes, and compares the close.
//
//   node echo_cases.js URL      prints the number of cases; exit status 1 at the first that fails
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const WebSocket = require("ws");

const [url] = process.argv.slice(2);

async function opened() {
  const socket = new WebSocket(url, { perMessageDeflate: true, maxPayload: 16 * 1024 * 1024 });
  await once(socket, "open");
  assert.equal(socket.extensions, "", "compression is offered, and declined");
  return socket;
}

async function closed(socket, code, reason) {
  socket.close(code, reason);
  const [answered, because] = await once(socket, "close");
  return [answered, because.toString()];
}

async function echoes(payload, parts) {
  const socket = await opened();
  const answer = once(socket, "message");
  const binary = Buffer.isBuffer(payload);
  const step = Math.ceil(payload.length / parts) || 1;
  for (let part = 0; part < parts; part += 1) {
    const fin = part === parts - 1;
    socket.send(payload.slice(part * step, (part + 1) * step), { binary, fin });
    if (!fin) {
      socket.ping(`between ${part}`);
    }
  }
  const [data, isBinary] = await answer;
  assert.equal(isBinary, binary);
  assert.ok(data.equals(Buffer.from(payload)), `${payload.length} in ${parts}`);
  assert.deepEqual(await closed(socket, 1000, "done"), [1000, "done"]);
}

async function pongs(payload) {
  const socket = await opened();
  socket.ping(payload);
  const [answer] = await once(socket, "pong");
  assert.ok(answer.equals(Buffer.from(payload)));
  assert.deepEqual(await closed(socket), [1005, ""]);
}

async function closes(code) {
  assert.deepEqual(await closed(await opened(), code, "why"), [code, "why"]);
}

async function main() {
  const cases = [];
  for (const size of [0, 1, 125, 126, 65535, 65536, 1024 * 1024, 4 * 1024 * 1024]) {
    for (const parts of size > 1 ? [1, 2, 7] : [1]) {
      cases.push(() => echoes(Buffer.alloc(size, 0xfe), parts));
      cases.push(() => echoes("x".repeat(size), parts));
    }
  }
  cases.push(() => echoes("κόσμε 😀".repeat(5000), 1));
  for (const payload of ["", "a", Buffer.alloc(125, 0xff)]) {
    cases.push(() => pongs(payload));
  }
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4999]) {
    cases.push(() => closes(code));
  }
  for (const one of cases) {
    await one();
  }
  process.stdout.write(`${cases.length}\n`);
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
