"""Servers of one room that do nothing but fan out: ours, and others to compare with. Each runs as
a process of its own, `python -m bench.peers.NAME`, as `control` says."""
