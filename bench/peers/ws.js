// `ws` as its documentation has it: one `send` for each client. No compression, its default.
"use strict";
const { WebSocketServer } = require("ws");

const BACKLOG = 4096; // see __init__.py
const FELT_BY = 51; // the model and 50 VIPs: who comes first
const FOR_THEM = "R".charCodeAt(0);

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: BACKLOG });
const felt = [];

server.on("connection", (socket) => {
  if (felt.length < FELT_BY) felt.push(socket);
  socket.on("message", (message) => {
    for (const client of message[0] === FOR_THEM ? felt : server.clients) {
      client.send(message, { binary: true });
    }
  });
});
server.on("listening", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
