"""One room. Read `room.step` (the rules), then `actor` (who runs them), then `registry`."""
