"""Actors: one task, one bounded mailbox, one owner of its state."""
