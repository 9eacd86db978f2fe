"""Who decides: actors, their messages and the ports they need. Imports protocol only.

runtime     mailbox, actor, supervisor, registry, clock and ids
ledger      the one writer of the token ledger: settles what queued up, then hands events on
room        the one writer of one room: members, activation queue, dispatch
consumers   who reads TipActivated: the room, loyalty; and the relay for what was missed
ports       what the actors need from the world, as typing.Protocol: no SQL, HTTP, sockets here
"""
