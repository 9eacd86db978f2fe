"""The whole TipActivated of a settlement, written before it: the ids of the rows to be are in it,
the routing is that of this moment, and it becomes true when the ledger commits it."""

from uuid import UUID

from actors.room.state import Context, RoomState
from protocol.routing import ViewerFlags, route
from protocol.tip_activated import (
    Item,
    Ledger,
    Model,
    Room,
    Routing,
    TipActivated,
    Tipper,
    Transaction,
    ViewerSync,
    format_timestamp,
    source_ref_of,
)


def settled_event(
    state: RoomState,
    ctx: Context,
    tip_id: str,
    broadcast_id: str,
    amount: int,
    tipper: Tipper,
    item: Item,
    debit_ref: UUID | None = None,
) -> TipActivated:
    """`debit_ref`: the tipper's entry, where a hold has written it already."""
    flags = state.flags.get(tipper.user_id) or ViewerFlags(
        tipper.user_id,
        tipper.membership_tier,
        toy_connected=False,
        react_to_my_tips=False,
        feel_all_tips=False,
    )
    decision = route(state.snapshot(), flags, item.vibration is not None)
    new_id = ctx.chance.uuid7
    live = state.broadcast
    if live is not None and live.broadcast_id == broadcast_id:
        mode = live.lovense_mode
    else:  # a hold of an earlier broadcast settles; its toys are skipped
        mode = state.model_settings.lovense_mode
    return TipActivated(
        event_name="TipActivated",
        event_id=new_id(ctx.now),
        tip_id=tip_id,
        timestamp=format_timestamp(ctx.now.utc),
        ledger=Ledger(
            ledger_id=str(new_id(ctx.now)),
            source_ref=source_ref_of(tip_id),
            debit_ref=str(debit_ref or new_id(ctx.now)),
            credit_ref=str(new_id(ctx.now)),
            status="SETTLED",
        ),
        room=Room(state.room_id, broadcast_id),
        model=Model(
            state.model_id,
            state.model_display_name,
            mode,
            state.model_settings.viewer_sync_mode,
        ),
        tipper=tipper,
        transaction=Transaction("TOKENS", amount),
        item=item,
        viewer_sync=ViewerSync(flags.toy_connected, flags.react_to_my_tips, flags.feel_all_tips),
        routing=Routing(decision.targets),
    )
