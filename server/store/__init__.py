"""What the database holds, behind the ports of actors/ports.py.

bridge      the one asyncio thread, and the hop to it
embedded    a real PostgreSQL in a folder of ours
migrate     plain SQL files, forward only
database    the connection pool; the driver's errors in our words
queries     every statement, by name
ledger_store, room_store, member_store, settings_store, trace   one repository per concern
store       all of them, opened together: start here
demo        what `make run` shows
"""
