"""What an auditor does with the ledger: verify it, export it, move old months away.

findings.py       what can be wrong, each with its code
chains.py         entry by entry: the hash chain and the running balance of each account
settled.py        transfer by transfer: its entries, its content, its one event
refunds.py        refund by refund: whose tokens, and how many
books.py          what is kept beside: escrow, holds, points, the order of events
records.py        the rows, decoded strictly and without the code that wrote them
verify.py         all of these, over one snapshot
export.py         entries as CSV or Parquet
progress.py       how far it is, on standard error
commands.py       `tiproom ledger verify | export | archive`
"""
