"""Each account's chain: numbers without gaps, running balances, and the hash over all of it.

Computed anew from the entries alone; what the database has computed is only compared. After a
finding the next entry is judged by what is stored as well as by what should be, so that a change of
one entry is found at that entry and not at all after it.
"""

from hashlib import sha256
from typing import Final

from server.ledger.findings import Code, Findings
from server.store.ledger_snapshot import Row

GENESIS: Final = bytes(32)
"""Stands for the hash before an account's first entry."""
ISSUANCE: Final = b"issuance"
"""The one account that may be below zero: where tokens come from."""


class Chains:
    """`take` rows of queries.AUDIT_CHAINS in their order, then `end`."""

    def __init__(self, findings: Findings) -> None:
        self.entries = 0
        self.accounts = 0
        self.balances_sum = 0
        self.escrow = 0
        """What the account escrow has, by its row."""
        self._findings = findings
        self._account: bytes | None = None
        self._stated: tuple[int, int, bytes] | None = None
        """Balance, last number and last hash, as the account's row has them."""
        self._archived: tuple[int, int, bytes] | None = None
        """The same three at the end of the months that were moved away."""
        self._begin_chain()

    def _begin_chain(self) -> None:
        self._is_quick = False  # whether the next entry may be; the first is not
        self._seq = 0
        self._balance = self._balance_due = 0
        self._hash = self._hash_due = GENESIS

    def take(self, rows: list[Row]) -> None:
        for row in rows:
            account_id = row[0]
            if account_id == self._account:
                if self._holds(row):
                    continue
            else:
                self._end_account()
                self._account = account_id
                self._stated = self._archived = None
                self._begin_chain()
                if not row[8]:  # the account's own, which comes first
                    self._begin_account(row)
                    continue
                self._findings.add(
                    Code.ACCOUNT_MISSING, "it has entries, but no row", account=account_id
                )
            self._entry(row)

    def end(self) -> None:
        """After the last row. Tokens are only ever moved, so all balances together are zero."""
        self._end_account()
        self._account = None
        if self.balances_sum:
            self._findings.add(
                Code.BALANCES_SUM,
                f"all balances together are {self.balances_sum} instead of 0",
                table="accounts",
            )

    def _begin_account(self, row: Row) -> None:
        account_id, _, balance, last_seq, last_hash, old_balance, old_seq, old_hash, _ = row
        if old_hash:
            self._archived = (int(old_balance), int(old_seq), bytes.fromhex(old_hash.decode()))
        if not last_hash:
            self._findings.add(
                Code.ACCOUNT_MISSING, "it has archived entries, but no row", account=account_id
            )
            return
        self._stated = (int(balance), int(last_seq), bytes.fromhex(last_hash.decode()))
        self.accounts += 1
        self.balances_sum += self._stated[0]
        if account_id == b"escrow":
            self.escrow = self._stated[0]

    def _holds(self, row: Row) -> bool:
        """Whether nothing is to be said of this entry, told as cheaply as that can be: so are
        nearly all."""
        balance = int(row[6])
        if (
            self._is_quick
            and int(row[1]) == self._seq + 1
            and balance == self._balance + int(row[5])
            and (balance >= 0 or row[0] == ISSUANCE)
        ):
            computed = sha256(self._hash + b"|".join(row[:8]))
            if computed.hexdigest() == row[8].decode() and row[4]:
                self.entries += 1
                self._seq += 1
                self._balance = self._balance_due = balance
                self._hash = self._hash_due = computed.digest()
                return True
        return False

    def _entry(self, row: Row) -> None:
        account_id, seq_text, entry_id, _, source_ref, amount, balance_text, _, stored_hash = row
        self.entries += 1
        seq = int(seq_text)
        if not self._seq and seq != 1 and self._archived is not None:
            self._balance, self._seq, self._hash = self._archived
            self._balance_due, self._hash_due = self._balance, self._hash
        follows = seq == self._seq + 1
        if not follows:
            self._report_number(seq, entry_id)
        self._seq = max(self._seq, seq)

        balance = int(balance_text)
        change = int(amount)
        due = self._balance + change
        if follows and balance not in (due, self._balance_due + change):
            self._add(
                Code.ENTRY_BALANCE,
                f"after {change} more than {self._balance} the balance is said to be {balance}",
                row,
            )
        if balance < 0 and account_id != ISSUANCE:
            self._add(Code.ENTRY_NEGATIVE, f"the balance is {balance}", row)
        self._balance = balance
        self._balance_due = due if follows else balance

        stored = bytes.fromhex(stored_hash.decode())
        if not source_ref:
            self._add(Code.ENTRY_WITHOUT_TRANSFER, "its transfer is not there", row)
            self._hash_due = stored
        else:
            text = b"|".join(row[:8])
            computed = sha256(self._hash + text).digest()
            if computed != stored and follows:
                by_due = sha256(self._hash_due + text).digest()
                if by_due != stored:
                    self._add(
                        Code.ENTRY_HASH, "its hash does not fit it and the entry before it", row
                    )
                computed = by_due
            self._hash_due = computed if follows else stored
        self._hash = stored
        if self._archived is not None and seq == self._archived[1]:
            self._compare_with_archive()
        self._is_quick = self._archived is None or seq >= self._archived[1]

    def _report_number(self, seq: int, entry_id: bytes) -> None:
        expected = self._seq + 1
        if seq > expected:
            self._findings.add(
                Code.ENTRY_MISSING,
                f"{seq - expected} missing before this number",
                account=self._account,
                seq=seq,
                entry=entry_id,
            )
        else:
            self._findings.add(
                Code.ENTRY_NUMBER,
                f"the number {expected} is expected here",
                account=self._account,
                seq=seq,
                entry=entry_id,
            )

    def _compare_with_archive(self) -> None:
        """Months that were attached again lead to what was recorded when they were moved away."""
        assert self._archived is not None
        if (self._balance, self._hash) != (self._archived[0], self._archived[2]):
            self._findings.add(
                Code.ACCOUNT_LAST_ENTRY,
                "the entry is not the one that was recorded when its month was moved away",
                account=self._account,
                seq=self._seq,
            )

    def _end_account(self) -> None:
        if self._account is None or self._stated is None:
            return
        if not self._seq and self._archived is not None:
            self._balance, self._seq, self._hash = self._archived
        balance, last_seq, last_hash = self._stated
        if balance != self._balance:
            self._findings.add(
                Code.ACCOUNT_BALANCE,
                f"the row says {balance}, its entries {self._balance}",
                account=self._account,
            )
        if balance < 0 and self._account != ISSUANCE:
            self._findings.add(
                Code.ACCOUNT_BALANCE, f"{balance} is below zero", account=self._account
            )
        if last_seq != self._seq:
            self._findings.add(
                Code.ENTRY_MISSING if last_seq > self._seq else Code.ACCOUNT_LAST_ENTRY,
                f"the row names {last_seq} as its last entry, there are {self._seq}",
                account=self._account,
                seq=last_seq,
            )
        elif last_hash != self._hash:
            self._findings.add(
                Code.ACCOUNT_LAST_ENTRY,
                "the row's hash is not that of its last entry",
                account=self._account,
                seq=last_seq,
            )

    def _add(self, code: Code, text: str, row: Row) -> None:
        account_id, seq, entry_id, transfer_id, source_ref, *_ = row
        self._findings.add(
            code,
            text,
            account=account_id,
            seq=seq,
            entry=entry_id,
            transfer=transfer_id,
            source=source_ref,
        )
