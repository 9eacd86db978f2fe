"""What a property test asks of the ledger: each request as hypothesis draws it, as the real ledger
gets it, and as the model does."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from hypothesis import strategies as st

from actors.transfers import (
    Deposit,
    HoldState,
    Refund,
    Release,
    SettledTransfer,
    Settlement,
    Transfer,
)
from protocol.errors import ErrorCode, Refusal
from protocol.tip_activated import source_ref_of
from server.store.account_store import PostgresAccounts
from tests.store.ledger_model import Request
from tests.store.settlements import only_if_known, tip
from tests.store.transfers import FAR_AHEAD, LONG_AGO, hold, settlement_of, show


@dataclass(frozen=True)
class AskTip:
    number: int
    purchase: bool
    """Its key is that of the hold of this number, when settled."""
    user: str
    amount: int
    model: str
    share_percent: int
    only_if_known: bool


@dataclass(frozen=True)
class AskHold:
    number: int
    user: str
    amount: int
    model: str
    item_name: str
    expires_at: datetime | None
    only_if_known: bool


@dataclass(frozen=True)
class AskSettle:
    number: int
    refund: int
    """So many tokens; of a smaller hold, all but one."""
    share_percent: int


@dataclass(frozen=True)
class AskRelease:
    number: int


@dataclass(frozen=True)
class AskRefund:
    number: int
    of_purchase: bool
    of_number: int
    tokens: int


@dataclass(frozen=True)
class AskDeposit:
    number: int
    user: str
    amount: int


Ask = AskTip | AskHold | AskSettle | AskRelease | AskRefund | AskDeposit

_few = st.integers(1, 2)
_user = st.sampled_from(["ann", "ann", "ann", "bob", "bob", "nobody"])
_amount = st.sampled_from([1, 7, 20, 50, 50])
_model = st.sampled_from(["m1", "m2"])
_share = st.sampled_from([0, 33, 50, 100])
_rarely = st.sampled_from([False, False, False, False, False, True])
_tip = st.builds(AskTip, _few, _rarely, _user, _amount, _model, _share, _rarely)
_hold = st.builds(
    AskHold,
    _few,
    _user,
    _amount,
    _model,
    st.sampled_from(["Show", "Song"]),
    st.sampled_from([None, None, FAR_AHEAD, LONG_AGO]),
    _rarely,
)
_settle = st.builds(AskSettle, _few, st.sampled_from([0, 0, 1, 6, 99]), _share)
_release = st.builds(AskRelease, _few)
_refund = st.builds(AskRefund, _few, _rarely, _few, st.sampled_from([1, 3, 7]))
_deposit = st.builds(AskDeposit, _few, _user, st.sampled_from([1, 30]))
_pool: st.SearchStrategy[tuple[Ask, ...]] = st.tuples(
    *[_tip] * 4, *[_hold] * 3, *[_settle] * 3, _release, *[_refund] * 4, _deposit
)


@st.composite
def batches(draw: st.DrawFn, *, batches_max: int) -> list[list[Ask]]:
    """Out of few different requests, so that repeats, conflicts and races are the rule."""
    pool = draw(_pool)
    batch = st.lists(st.sampled_from(pool), min_size=1, max_size=8)
    return draw(st.lists(batch, min_size=4, max_size=batches_max))


class Requests:
    """Users, models and keys of one example's own, in a database that holds them all."""

    def __init__(self, own: str) -> None:
        self.own = own
        self._texts = 0

    def named(self, name: str) -> str:
        return f"{self.own}-{name}"

    def wallet(self, user: str) -> str:
        return f"user:{self.named(user)}"

    async def prepare(
        self, asks: list[Ask], accounts: PostgresAccounts
    ) -> list[tuple[Transfer, Request]]:
        """As the server does right before it asks the ledger. What concerns a hold or a tip that
        is not there never gets so far."""
        prepared = [await self._prepare(ask, accounts) for ask in asks]
        return [each for each in prepared if each is not None]

    async def _prepare(
        self, ask: Ask, accounts: PostgresAccounts
    ) -> tuple[Transfer, Request] | None:
        match ask:
            case AskTip():
                return self._tip(ask)
            case AskHold():
                return self._hold(ask)
            case AskDeposit():
                return self._deposit(ask)
            case AskSettle():
                record = await accounts.load_hold(self.named(f"h{ask.number}"))
                if record is None:
                    return None
                refund = min(ask.refund, record.amount - 1)
                transfer = self._distinct(
                    settlement_of(record, refund, share_percent=ask.share_percent)
                )
                request = _settled(
                    transfer,
                    {"escrow": -record.amount, f"user:{record.user_id}": refund},
                    content=("settle", refund),
                )
                ends_as = HoldState.PARTIALLY_REFUNDED if refund else HoldState.SETTLED
                return transfer, replace(request, ends_hold=record.hold_id, ends_as=ends_as)
            case AskRelease():
                record = await accounts.load_hold(self.named(f"h{ask.number}"))
                if record is None:
                    return None
                wallet = f"user:{record.user_id}"
                return Release(record), Request(
                    ref=f"release:{record.hold_id}",
                    content=None,
                    wallet=wallet,
                    legs={"escrow": -record.amount, wallet: record.amount},
                    ends_hold=record.hold_id,
                    ends_as=HoldState.REFUNDED,
                )
            case AskRefund():
                source_ref = source_ref_of(self._tip_id(ask.of_purchase, ask.of_number))
                settled = await accounts.load_settled(source_ref)
                return None if settled is None else self._refund(ask, settled)

    def _tip_id(self, purchase: bool, number: int) -> str:
        return f"purchase:{self.named(f'h{number}')}" if purchase else self.named(f"t{number}")

    def _tip(self, ask: AskTip) -> tuple[Transfer, Request]:
        tip_id = self._tip_id(ask.purchase, ask.number)
        fields: dict[str, Any] = {
            "tipper_id": self.named(ask.user),
            "amount": ask.amount,
            "room_id": self.own,
            "model_id": self.named(ask.model),
        }
        whole = self._distinct(tip(tip_id, share_percent=ask.share_percent, **fields))
        request = _settled(
            whole, {self.wallet(ask.user): -ask.amount}, content=("tip", ask.user, ask.amount)
        )
        request = replace(request, conflict=ErrorCode.TIP_CONFLICT)
        if ask.purchase or not ask.only_if_known:  # only tips are asked for so
            return whole, request
        refusal = Refusal(ErrorCode.ROOM_OFFLINE)
        return only_if_known(refusal, tip_id, **fields), replace(request, asks_only=refusal.code)

    def _hold(self, ask: AskHold) -> tuple[Transfer, Request]:
        refusal = Refusal(ErrorCode.ROOM_OFFLINE) if ask.only_if_known else None
        transfer = hold(
            self.named(f"h{ask.number}"),
            self.named(ask.user),
            ask.amount,
            room_id=self.own,
            model_id=self.named(ask.model),
            item=show(item_name=ask.item_name),
            expires_at=ask.expires_at,
            unless_known=refusal,
        )
        wallet = self.wallet(ask.user)
        return transfer, Request(
            ref=f"hold:{transfer.hold_id}",
            content=(ask.user, ask.amount, ask.item_name),
            wallet=wallet,
            legs={wallet: -ask.amount, "escrow": ask.amount},
            asks_only=refusal and refusal.code,
            makes_hold=transfer.hold_id,
            expired=ask.expires_at == LONG_AGO,
        )

    def _deposit(self, ask: AskDeposit) -> tuple[Transfer, Request]:
        transfer = Deposit(self.named(f"d{ask.number}"), self.named(ask.user), ask.amount)
        wallet = self.wallet(ask.user)
        return transfer, Request(
            ref=f"deposit:{transfer.deposit_id}",
            content=(ask.user, ask.amount),
            wallet=wallet,
            legs={"issuance": -ask.amount, wallet: ask.amount},
        )

    def _refund(self, ask: AskRefund, settled: SettledTransfer) -> tuple[Transfer, Request]:
        left = settled.amount - settled.refunded
        refusal = Refusal(ErrorCode.REFUND_EXCEEDS) if ask.tokens > left else None
        refund_id, wallet = self.named(f"r{ask.number}"), f"user:{settled.user_id}"
        before, after = (
            tokens * settled.model_tokens // settled.amount
            for tokens in (settled.refunded, settled.refunded + ask.tokens)
        )
        return Refund(refund_id, settled, ask.tokens, unless_known=refusal), Request(
            ref=f"refund:{refund_id}",
            content=(settled.source_ref, ask.tokens),
            wallet=wallet,
            legs={
                f"model:{settled.model_id}": before - after,
                "revenue": after - before - ask.tokens,
                wallet: ask.tokens,
            },
            uncovered=ErrorCode.REFUND_UNCOVERED,
            asks_only=refusal and refusal.code,
            refunds=settled.source_ref,
            refunded_before=settled.refunded,
        )

    def _distinct(self, settlement: Settlement) -> Settlement:
        """With a text of its own: a repeat that is answered with its own text, and not with that of
        the first time, shows."""
        self._texts += 1
        event = settlement.event
        assert event is not None
        item = msgspec.structs.replace(event.item, item_name=f"{self.own} {self._texts}")
        return msgspec.structs.replace(settlement, event=msgspec.structs.replace(event, item=item))


def _settled(settlement: Settlement, paid: dict[str, int], content: object) -> Request:
    model = f"model:{settlement.model_id}"
    hers = settlement.model_tokens
    return Request(
        ref=settlement.source_ref,
        content=content,
        wallet=f"user:{settlement.tipper_id}",
        legs={**paid, model: hers, "revenue": settlement.amount - hers},
        emits=settlement.tip_id,
        settles=SettledTransfer(
            source_ref=settlement.source_ref,
            user_id=settlement.tipper_id,
            model_id=settlement.model_id,
            amount=settlement.amount,
            model_tokens=hers,
            refunded=0,
        ),
    )
