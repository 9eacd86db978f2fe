"""The state of one room: plain data with one owner, the room's actor."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import msgspec

from actors.ports import Broadcast, ModelSessionId, SessionId
from actors.room.activation_queue import Activation, ActivationQueue
from actors.room.effects import StoreRequeue
from actors.room.history import EventHistory
from actors.room.messages import Asker
from actors.room.roster import Roster
from actors.runtime.moment import Chance, Moment
from protocol import frames
from protocol.devices import Overrides
from protocol.gating import Gates, Preferences, gates
from protocol.lovense import LevelMap, Toy
from protocol.routing import RoomSnapshot, ViewerFlags
from protocol.tip_activated import LovenseMode, MembershipTier, Target
from protocol.tip_menu import TipMenuRow
from protocol.toy_settings import ModelSettings, PlatformSettings, QueueMode
from protocol.vibration import Vibration

PUT_AWAY_AFTER_S: Final = 60.0
"""A room without members sleeps after this long, and comes back on the next join."""

MODEL_RETURN_WINDOW_S: Final = 30.0
"""How long activations wait for a model's page that reloads or reconnects, and then for what it
reports. After it they run without her toy: nobody else waits for ever."""

FINISHED_TIPS_MAX: Final = 10_000
"""How many finished tipIds a room remembers itself; older ones the database knows."""


def _any_usable(toys: tuple[Toy, ...]) -> bool:
    for toy in toys:  # noqa: SIM110 - no generator, in every step
        if toy.usable:
            return True
    return False


@dataclass(slots=True)
class Session:
    """One socket. A viewer may have several; a model has one."""

    session_id: SessionId
    user_id: str
    reported: tuple[Toy, ...] = ()
    """As the page says."""
    toys: tuple[Toy, ...] = ()
    """The same, with what their owner has set on them."""
    had_toys: bool = False
    """It has reported one at some time: a stop goes there, whatever it reports now."""
    away: bool = False
    faulty: bool = False
    """Its last command failed on its toys."""

    @property
    def toy_connected(self) -> bool:
        """One that may be used."""
        return _any_usable(self.toys)


@dataclass(slots=True)
class Viewer:
    """One viewer, counted once however many tabs."""

    user_id: str
    username: str
    tier: MembershipTier
    preferences: Preferences
    balance: int | None
    sessions: dict[SessionId, Session] = field(default_factory=dict)
    stopped: bool = False
    """The own toy gets nothing until the viewer resumes."""
    is_moderator: bool = False

    @property
    def toy_session(self) -> Session | None:
        """The one tab that commands go to: the newest with a connected toy."""
        for each in reversed(self.sessions.values()):
            if each.toy_connected:
                return each
        return None

    def flags(self) -> ViewerFlags:
        return ViewerFlags(
            self.user_id,
            self.tier,
            self.toy_session is not None,
            self.preferences.react_to_my_tips,
            self.preferences.feel_all_tips,
            self.stopped,
        )


@dataclass(slots=True)
class ModelPage:
    """The model's one open page. `toys` is None until it has reported them, `level_map` also where
    nothing in her settings is usable."""

    session_id: ModelSessionId
    username: str
    tier: MembershipTier
    page_id: str | None
    integration: LovenseMode
    reported: tuple[Toy, ...] = ()
    """As the page says."""
    toys: tuple[Toy, ...] | None = None
    reported_levels: LevelMap | None = None
    """As her product has them."""
    settings_reported: bool = False
    away: bool = False
    faulty: bool = False
    """Its last command failed on its toys."""

    @property
    def ready(self) -> bool:
        """Has said all that a command to it depends on."""
        return self.toys is not None and self.settings_reported

    @property
    def level_map(self) -> LevelMap | None:
        """Her levels, with what she has set on her toys: a tip moves all of them."""
        usable = [toy.max_strength for toy in self.toys or () if toy.usable]
        if self.reported_levels is None or not usable:
            return self.reported_levels
        return msgspec.structs.replace(self.reported_levels, strength_max=min(usable))

    @property
    def toy_connected(self) -> bool:
        """One that may be used."""
        return self.toys is not None and _any_usable(self.toys)


@dataclass(slots=True)
class Outstanding:
    """One command to one target that has no final state yet. `vibration`: what it plays, which is
    more than its own tip's where others merged into it. `session_id`: where its last attempt
    went. `deadline_s`: when that attempt counts as unanswered, or, with `resting`, when the next
    one is due."""

    command_id: str
    activation: Activation
    target: Target
    vibration: Vibration
    attempt: int
    session_id: SessionId | None
    deadline_s: float
    resting: bool
    seconds: float
    """How long the call plays."""
    accepted: bool = False
    """The page has said, in this attempt, that it has the command."""


@dataclass(slots=True)
class Playing:
    """The activations whose moment it is, until all of their toys are at rest: one, or in batch
    mode several that play as one."""

    activations: tuple[Activation, ...]
    viewers_rest_at_s: float
    model_rests_at_s: float | None = None
    """None: her toy has no part in it."""
    model_command: str | None = None
    """commandId of her toy's command, once sent."""
    model_tip_id: str | None = None
    """The tip that this command is for."""

    @property
    def tip_id(self) -> str:
        """Of the first of them."""
        return self.activations[0].tip_id

    @property
    def ends_at_s(self) -> float:
        if self.model_rests_at_s is None:
            return self.viewers_rest_at_s
        return max(self.viewers_rest_at_s, self.model_rests_at_s)


@dataclass(slots=True)
class RunningTest:
    """The one test that her page has yet to answer."""

    test_id: UUID
    row_id: str
    seconds: float
    deadline_s: float
    accepted: bool = False

    @property
    def command_id(self) -> str:
        return str(self.test_id)


@dataclass(slots=True)
class Unfinished:
    """A tip with targets that have no final state yet. `reached`: a toy has reacted. `told`: the
    position as last told to the tipper, and whether the queue was paused then."""

    tipper_id: str
    targets_open: int
    played: bool = False
    reached: bool = False
    told: tuple[int, bool] | None = None


@dataclass(frozen=True, slots=True)
class PreferencesWanted:
    """A change that waits until the same viewer's last one is stored: each is made of what the
    one before it left."""

    asker: Asker
    react_to_my_tips: bool | None
    feel_all_tips: bool | None


@dataclass(slots=True)
class RoomState:
    room_id: str
    model_id: str
    model_display_name: str
    epoch: str
    platform: PlatformSettings
    model_settings: ModelSettings
    tip_menu: tuple[TipMenuRow, ...]
    model_share_percent: int
    tip_bonus_percent: int
    broadcast: Broadcast | None
    queue: ActivationQueue
    empty_since_s: float | None
    """None while somebody is here or a tip is under way."""
    model_unready_since_s: float
    """When the model's page last left, or last joined and had yet to report its toys."""
    model_toy_rests_at_s: float = float("-inf")
    """Until then her toy may still play: what was stopped without a vendor call that stops it, or
    what an earlier life of the room has sent."""
    model_toy_tip_id: str | None = None
    """What it then plays. To send the same command again is no overlap: a page runs it once."""
    offset: int = 0
    """Of the newest history event."""
    history: EventHistory = field(default_factory=EventHistory)
    broadcast_changing: bool = False
    broadcast_unsure: Broadcast | None = None
    """A start that the database did not answer: it may stand there."""
    tips_at_ledger: int = 0
    tip_options: tuple[frames.TipOption, ...] = ()
    """The buttons of the viewers' pages; made anew when the menu or the settings change."""
    stopped: set[str] = field(default_factory=set)
    """Viewers who stopped the own toy and have not resumed: also one who left, for a reload of the
    page must not start it again."""
    viewers: dict[str, Viewer] = field(default_factory=dict)
    flags: dict[str, ViewerFlags] = field(default_factory=dict)
    """The routing view of `viewers`, kept in step with it."""
    users_by_session: dict[SessionId, str] = field(default_factory=dict)
    model_page: ModelPage | None = None
    preferences_storing: dict[str, deque[PreferencesWanted]] = field(default_factory=dict)
    """userId, while a change of preferences is being stored -> the changes that wait for it."""
    playing: Playing | None = None
    outstanding: dict[str, Outstanding] = field(default_factory=dict)
    deadlines: list[tuple[float, str]] = field(default_factory=list)
    """Heap of (deadline_s, commandId); an entry counts only if it is still that command's."""
    unfinished: dict[str, Unfinished] = field(default_factory=dict)
    """By tipId."""
    finished: dict[str, None] = field(default_factory=dict)
    """The last finished tipIds, oldest first."""
    toy_test: RunningTest | None = None
    toy_tests_at_s: deque[float] = field(default_factory=deque)
    """When the tests of the last minute began."""
    overrides: dict[str, Overrides] = field(default_factory=dict)
    """Of the members who are here."""
    low_batteries: dict[UUID, None] = field(default_factory=dict)
    """Devices whose owner was warned, the last ones, oldest first."""
    requeues_unsure: dict[UUID, StoreRequeue] = field(default_factory=dict)
    """Dead letter -> the last decision on it that is being stored, or may be stored."""
    purchases: dict[str, list[float]] = field(default_factory=dict)
    """userId -> times of the last minute's purchases."""
    roster: Roster = field(default_factory=Roster)
    """The viewers and the model's page as all may see them, kept in step with those."""
    tippers: set[str] = field(default_factory=set)
    """userIds of this broadcast's."""
    presence_version: int = 0
    presence_sent_at_s: float = float("-inf")
    typing: dict[str, float] = field(default_factory=dict)
    """userId, or presence.MODEL -> until when (trio's clock), the soonest first."""
    typing_changed: bool = False
    typing_sent: frames.TypingView = field(default_factory=frames.TypingView)
    typing_sent_at_s: float = float("-inf")
    view_sent: frames.RoomView | None = None
    queue_reported: tuple[str | None, str | None, int, bool, QueueMode] | None = None

    def __post_init__(self) -> None:
        self.change_model_settings(self.model_settings)
        self.change_platform_settings(self.platform)

    def change_model_settings(self, settings: ModelSettings) -> None:
        self.model_settings = settings
        self._make_tip_options()

    def change_tip_menu(self, rows: tuple[TipMenuRow, ...]) -> None:
        self.tip_menu = rows
        self._make_tip_options()

    def change_platform_settings(self, settings: PlatformSettings) -> None:
        self.platform = settings
        self.queue.change_mode(settings.lovense_queue_mode)
        self._make_tip_options()

    def _make_tip_options(self) -> None:
        shown = self.model_settings.tip_menu_enabled
        minimum = self.platform.lovense_min_tip_for_activation
        self.tip_options = tuple(
            frames.TipOption(row.tip_amount, row.description, row.tip_amount >= minimum)
            for row in sorted(self.tip_menu, key=lambda row: row.order)
            if row.active and shown
        )

    def next_offset(self) -> int:
        """For one more history event."""
        self.offset += 1
        return self.offset

    def missed_since(self, resume: frames.Resume | None) -> tuple[frames.HistoryEvent, ...] | None:
        """All that a returning member has missed; None where that is not known whole: it was in
        another life of the room, or some of it is gone."""
        if resume is None or resume.epoch != self.epoch:
            return None
        return self.history.since(resume.offset)

    def snapshot(self) -> RoomSnapshot:
        """What routing looks at, now."""
        page = self.model_page
        return RoomSnapshot(
            enable_lovense=self.platform.enable_lovense,
            model_id=self.model_id,
            model_present=page is not None,
            model_toy_connected=page is not None and page.toy_connected,
            viewer_sync_mode=self.model_settings.viewer_sync_mode,
            viewers=self.flags,
        )

    def gates_of(self, viewer: Viewer) -> Gates:
        return gates(
            viewer.toy_session is not None, self.model_settings.viewer_sync_mode, viewer.tier
        )

    def view(self) -> frames.RoomView:
        """The public state of the room."""
        page = self.model_page
        return frames.RoomView(
            room_id=self.room_id,
            model_id=self.model_id,
            model_display_name=self.model_display_name,
            live=self.broadcast is not None,
            broadcast_id=self.broadcast.broadcast_id if self.broadcast else None,
            lovense_mode=self.broadcast.lovense_mode if self.broadcast else None,
            viewer_sync_mode=self.model_settings.viewer_sync_mode,
            enable_lovense=self.platform.enable_lovense,
            toys_paused=self.queue.paused,
            model_toy_connected=page is not None and page.toy_connected,
            tip_options=self.tip_options,
        )

    def viewer_view(self, viewer: Viewer) -> frames.SelfView:
        return frames.SelfView(
            user_id=viewer.user_id,
            username=viewer.username,
            role="moderator" if viewer.is_moderator else "viewer",
            membership_tier=viewer.tier,
            balance=viewer.balance,
            toy_connected=viewer.toy_session is not None,
            react_to_my_tips=viewer.preferences.react_to_my_tips,
            feel_all_tips=viewer.preferences.feel_all_tips,
            gates=self.gates_of(viewer),
            toys_paused=viewer.stopped,
        )

    def model_view(self, page: ModelPage) -> frames.SelfView:
        return frames.SelfView(
            user_id=self.model_id,
            username=page.username,
            role="model",
            membership_tier=page.tier,
            balance=None,
            toy_connected=page.toy_connected,
            react_to_my_tips=False,
            feel_all_tips=False,
            gates=Gates(react_to_my_tips=False, feel_all_tips=False),
            toys_paused=self.queue.paused,
        )


@dataclass(frozen=True, slots=True)
class Context:
    """What one step may know of the world: the moment, and chance where a decision needs it."""

    now: Moment
    chance: Chance
