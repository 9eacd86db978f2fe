"""Mood messaging: a consumer beside the room, which only delivers the frames that it is handed.

`thanks.py` (the consumer of TipActivated) and `writing.py` (people and the platform) make
messages; `postbox.py` says when each goes out, one for each room and one for each model;
`post_office.py` keeps them, knows who has connected, and sees to what was left behind.
"""
