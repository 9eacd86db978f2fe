"""A member's connection to a room in Python: what server/web/sdk/client.js does for a page.

room_client   connects, asks, listens, comes back; the only one that waits
place         where it is in the room's history, and what it has lost
backoff       when it comes back
questions     what it has asked, and how each is answered
credentials   its token, and when that is replaced
opening       the WebSocket

Direction: room_client -> all others. Of the house it needs protocol alone.
"""
