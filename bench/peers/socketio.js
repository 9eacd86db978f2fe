// Socket.IO as its documentation has it: `io.emit` to all, a room for those who feel a tip.
"use strict";
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const BACKLOG = 4096; // see __init__.py
const FELT_BY = 51; // the model and 50 VIPs: who comes first

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });
let joined = 0;

io.on("connection", (socket) => {
  if (joined++ < FELT_BY) socket.join("felt");
  socket.on("everyone", (message) => io.emit("message", message));
  socket.on("felt", (message) => io.to("felt").emit("message", message));
});

http.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG }, () => console.log(http.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
