"""One room as an admin sees it, `GET /admin/rooms/{roomId}`: ids and counts, no names. And what
her tip menu meets on the model's page."""

import msgspec

from actors.room.state import Context, RoomState
from protocol.lovense import LevelMap
from protocol.tip_activated import LovenseMode, ViewerSyncMode
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import PlatformSettings


class RoomInspection(msgspec.Struct, frozen=True, rename="camel"):
    """`rate_window`: activations of the last 60 s. `commands_open`: sent, without final state."""

    room_id: str
    epoch: str
    offset: int
    live: bool
    broadcast_id: str | None
    lovense_mode: LovenseMode | None
    viewer_sync_mode: ViewerSyncMode
    model_present: bool
    model_toy_connected: bool
    viewers: int
    sessions: int
    vips_opted_in: int
    queue_waiting: int
    queue_paused: bool
    playing: str | None
    rate_window: int
    commands_open: int


def inspect(state: RoomState, ctx: Context) -> RoomInspection:
    snapshot = state.snapshot()
    return RoomInspection(
        room_id=state.room_id,
        epoch=state.epoch,
        offset=state.offset,
        live=state.broadcast is not None,
        broadcast_id=state.broadcast.broadcast_id if state.broadcast else None,
        lovense_mode=state.broadcast.lovense_mode if state.broadcast else None,
        viewer_sync_mode=state.model_settings.viewer_sync_mode,
        model_present=snapshot.model_present,
        model_toy_connected=snapshot.model_toy_connected,
        viewers=len(state.viewers),
        sessions=len(state.users_by_session) + (state.model_page is not None),
        vips_opted_in=sum(
            flags.tier.is_vip and flags.feel_all_tips for flags in state.flags.values()
        ),
        queue_waiting=len(state.queue),
        queue_paused=state.queue.paused,
        playing=state.playing.tip_id if state.playing else None,
        rate_window=state.queue.started_within_window(ctx.now.clock_s),
        commands_open=len(state.outstanding),
    )


class LevelsInspection(msgspec.Struct, frozen=True):
    """Of one moment. `known`: her page is open and has reported her settings; `level_map` is None
    also where they hold nothing usable."""

    known: bool
    level_map: LevelMap | None
    tip_menu: tuple[TipMenuRow, ...]
    platform: PlatformSettings


def inspect_levels(state: RoomState) -> LevelsInspection:
    page = state.model_page
    return LevelsInspection(
        known=page is not None and page.settings_reported,
        level_map=page.level_map if page is not None else None,
        tip_menu=state.tip_menu,
        platform=state.platform,
    )
