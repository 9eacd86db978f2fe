"""One room. Read `room.step` (the rules), then `actor` (who runs them), then `registry`.

What `room.step` calls, in reading order: `tips` (to the ledger and back), `activation` (queue and
start), `dispatch` (one command), `toy_stop`, `members`, `broadcasts`. Below them: `target_audit`
(final states), `queue_report` (what the model and the tippers see), `slot` (what plays),
`activation_queue`, and `state`, `messages`, `effects`: the data.
"""
