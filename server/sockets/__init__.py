"""Members' WebSocket connections, from accept to drop.

limits       every bound and timeout of this package
framing      a message framed once, for everyone
outbox       the only writer of one socket: direct sends, a bounded backlog, an overflow
handshake_stream   what trio-websocket shakes hands on: the same socket, through the outbox
intake       plain messages out of bytes; incoming: and all else that a peer says, and how it ends
connection   one accepted socket: its outbox, its deadline, how it closes
handshake    the HTTP upgrade
rate_limit   frames per second of one connection, and when it is a flood
verb_limits  how often each verb may be said, by connection, user and address
member_book  the connections of each user: their number, and how to close them
admission    how many may be joining at once; the others wait, or come back
session      what a member says: connect, frames to the room, leave
fan_out      what a room says: `actors.ports.Delivery`, encoded and framed once per encoding
heartbeat    a timer wheel that pings members and closes the silent
lifetime     the task of one connection: handshake, what is said, close; nothing escapes from it
listener     accept, connection limits, drain
room_endpoint  what the listener serves: path, origin and subprotocol, then a session

Direction: listener -> lifetime -> handshake -> fan_out -> connection -> incoming, outbox; beside it
room_endpoint -> session.
"""
