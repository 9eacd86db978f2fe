"""Members' WebSocket connections, from accept to drop.

limits       every bound and timeout of this package
framing      a message framed once, for everyone
outbox       the only writer of one socket: direct sends, a bounded backlog, an overflow
stream       what trio-websocket reads from and writes to: the same socket, through the outbox
connection   one accepted socket: its outbox, its deadline, how it closes
farewell     a connection whose close frame says when to come back
handshake    path, origin and subprotocol of the HTTP upgrade
rate_limit   frames per second of one connection, and when it is a flood
verb_limits  how often each verb may be said, by connection, user and address
member_book  the connections of each user: their number, and how to close them
admission    how many may be joining at once; the others wait, or come back
session      what a member says: connect, frames to the room, leave
fan_out      what a room says: `actors.ports.Delivery`, encoded and framed once per encoding
heartbeat    a timer wheel that pings members and closes the silent
lifetime     the task of one connection: handshake, session, close; nothing escapes from it
listener     accept, connection limits, drain

Direction: listener -> farewell, lifetime -> session, handshake -> fan_out -> connection -> outbox,
stream.
"""
