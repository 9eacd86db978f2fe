"""Session: what one member says, from `connect` to the end. Read `run`, then `_talk`.

CONNECTING -> JOINED -> gone. It checks, counts and passes on; what a frame means is the room's.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec
import trio

from actors.ports import (
    Arrival,
    MemberMail,
    MemberStore,
    RoomRef,
    Rooms,
    StoreUnavailable,
    ViewerRecord,
)
from actors.room.messages import Join, Leave, MemberFrame, TierChanged
from actors.runtime.mailbox import MailboxClosed, MailboxFull
from protocol.codec import Codec
from protocol.errors import ERRORS, CloseCode, ErrorCode, Refusal, Refused
from protocol.frames import (
    ClientFrame,
    CommandAccepted,
    CommandActivated,
    CommandFailed,
    Connect,
    EndBroadcast,
    Error,
    ListMembers,
    MessageDelivered,
    MessageRead,
    Ok,
    RefreshToken,
    ReportSettings,
    ReportToys,
    Resume,
    ResumeToys,
    SetPreferences,
    SetPresence,
    StartBroadcast,
    StopToys,
    Tip,
    ToyTest,
    Typing,
)
from protocol.gating import Preferences
from protocol.tip_activated import LovenseMode
from server.auth import Authority, Identity, Role
from server.sockets.admission import Admission
from server.sockets.connection import Connection
from server.sockets.fan_out import FanOut
from server.sockets.limits import SocketLimits
from server.sockets.member_book import MemberBook
from server.sockets.rate_limit import FloodGate, TokenBucket
from server.sockets.verb_limits import Allowance, Allowances, VerbLimits

STOPS_PER_S: Final = 5.0
STOPS_BURST: Final = 10

FrameRefusals = Counter[tuple[str, str]]
"""By verb (`unreadable` for what is no frame), and by whose limit it was: `connection`, `user`,
`address`, or `frames`, of all frames of one connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPorts:
    """What every session needs of the rest of the house."""

    limits: SocketLimits
    authority: Authority
    rooms: Rooms
    members: MemberStore
    delivery: FanOut
    book: MemberBook
    admission: Admission
    user_allowances: Allowances
    address_allowances: Allowances
    mail: MemberMail
    refusals: FrameRefusals


class _Ended(Exception):
    """The session decided to close."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code.name)
        self.code = code


_CLOSE_AFTER: Final = {
    ErrorCode.TOKEN_INVALID: CloseCode.TOKEN_INVALID,
    ErrorCode.TOKEN_EXPIRED: CloseCode.TOKEN_EXPIRED,
    ErrorCode.FORBIDDEN: CloseCode.TOKEN_INVALID,
    ErrorCode.WRONG_ROOM: CloseCode.WRONG_ROOM,
    ErrorCode.ROOM_UNKNOWN: CloseCode.ROOM_UNKNOWN,
    ErrorCode.ROOM_FAILED: CloseCode.ROOM_FAILED,
    ErrorCode.ROOM_BUSY: CloseCode.ROOM_RESTARTING,
    ErrorCode.SERVER_BUSY: CloseCode.SERVER_BUSY,
    ErrorCode.TOO_MANY_CONNECTIONS: CloseCode.TOO_MANY_CONNECTIONS,
}
"""What a refused `connect` leads to after its error. What is not here (a field to correct) leaves
the socket open for another `connect`, within the time that is left for it."""


class Session:
    """One connection's member. Used once."""

    __slots__ = (
        "_bad_frames",
        "_bucket",
        "_codec",
        "_connection",
        "_flood",
        "_identity",
        "_integration",
        "_page_id",
        "_ports",
        "_room",
        "_room_id",
        "_stops",
        "_user_id",
        "_verbs",
    )

    def __init__(
        self,
        connection: Connection,
        room_id: str,
        ports: SessionPorts,
    ) -> None:
        """`connection`: its handshake is done, and it is registered for delivery."""
        assert connection.codec is not None
        limits = ports.limits
        self._connection = connection
        self._room_id = room_id
        self._ports = ports
        self._codec: Codec = connection.codec
        self._bucket = TokenBucket(limits.frames_per_s, limits.frames_burst, trio.current_time())
        self._stops = TokenBucket(STOPS_PER_S, STOPS_BURST, trio.current_time())
        self._flood = FloodGate(limits.flood_refusals_max, limits.flood_window_s)
        self._bad_frames = 0
        # The next are set once `connect` is accepted; the frame itself, with its token, is not
        # kept for the hours that a member stays.
        self._identity: Identity
        self._integration: LovenseMode | None
        self._page_id: str | None
        self._room: RoomRef | None = None
        self._user_id: str | None = None
        """In the book, and limited, as this user."""
        self._verbs: VerbLimits

    async def run(self) -> None:
        """Until the server ends it, and the connection knows why; raises
        PeerEnded when the peer does. A room that was told of a Join is
        always told of the Leave."""
        try:
            await self._talk()
        except _Ended as ended:
            self._connection.close(ended.code)
        finally:
            self._leave()
            self._give_up_place()

    async def _talk(self) -> None:
        await self._connecting()
        while True:
            frame = await self._next_frame()
            if frame is not None:
                try:
                    await self._take(frame)
                except Refused as refused:
                    self._answer_error(_ref(frame), refused.refusal)

    async def _next_frame(self) -> ClientFrame | None:
        """None: what came was refused and answered."""
        message = await self._connection.incoming.next_message()
        now_s = trio.current_time()
        frame, refusal = self._decode(message)
        # Stop overtakes every limit but its own, which keeps stops from being a way to flood.
        is_stop = isinstance(frame, StopToys)
        wait_s = (self._stops if is_stop else self._bucket).take(now_s)
        if wait_s > 0:
            self._count_refusal(frame, "connection" if is_stop else "frames", now_s)
            limited = Refusal(ErrorCode.RATE_LIMITED, retry_after_s=wait_s)
            self._answer_error(self._codec.ref_of(message), limited)
            return None
        if refusal is not None:
            self._answer_error(self._codec.ref_of(message), refusal)
            self._count_bad_frame()
        return frame

    def _decode(self, message: bytes | str) -> tuple[ClientFrame | None, Refusal | None]:
        try:
            return self._codec.decode(message), None
        except Refused as refused:
            return None, refused.refusal

    # ---- connecting ----------------------------------------------------------------------

    async def _connecting(self) -> None:
        within_s = trio.current_time() + self._ports.limits.connect_timeout_s
        self._connection.close_at(within_s, CloseCode.CONNECT_TIMEOUT)
        while self._room is None:
            frame = await self._next_frame()
            if frame is not None:
                await self._first(frame)

    async def _first(self, frame: ClientFrame) -> None:
        if not isinstance(frame, Connect):
            refusal = Refusal(ErrorCode.TOKEN_MISSING, detail="The first frame must be connect.")
            self._answer_error(_ref(frame), refusal)
            self._count_bad_frame()
            return
        try:
            self._identity = self._identify(frame)
            self._integration, self._page_id = frame.integration, frame.page_id
            self._close_when_expired()
            self._take_place(self._identity.user_id)
            if frame.integration is not None:
                await self._join(frame.ref, frame.resume)  # a room's one model waits for nobody
            else:
                async with self._ports.admission.turn():
                    await self._join(frame.ref, frame.resume)
        except Refused as refused:
            self._answer_error(frame.ref, refused.refusal)
            code = _CLOSE_AFTER.get(refused.refusal.code)
            if code is not None:
                raise _Ended(code) from refused
            self._count_bad_frame()

    def _identify(self, connect: Connect) -> Identity:
        """Raises Refused: TOKEN_INVALID, TOKEN_EXPIRED, FORBIDDEN, WRONG_ROOM, INVALID_FIELD."""
        identity = self._ports.authority.verify(connect.token)
        if identity.role not in (Role.VIEWER, Role.MODERATOR, Role.MODEL):
            raise Refused(ErrorCode.FORBIDDEN)
        if identity.room_id != self._room_id:
            raise Refused(ErrorCode.WRONG_ROOM)
        is_model = identity.role is Role.MODEL
        if is_model is not (connect.integration is not None):
            detail = "A model names one." if is_model else "Only a model has one."
            raise Refused(ErrorCode.INVALID_FIELD, "integration", detail)
        return identity

    def _take_place(self, user_id: str) -> None:
        """Count as one of this user's connections. Raises Refused with TOO_MANY_CONNECTIONS."""
        self._give_up_place()
        ports, address = self._ports, self._connection.address
        ports.book.enter(user_id, self._connection, ports.limits.connections_per_user_max)
        self._user_id = user_id
        self._verbs = VerbLimits(
            Allowance(ports.limits.verb_factor),
            ports.user_allowances.hold(user_id),
            None
            if address in ports.limits.addresses_unlimited
            else ports.address_allowances.hold(address),
        )

    def _give_up_place(self) -> None:
        user_id, self._user_id = self._user_id, None
        if user_id is None:
            return
        ports, address = self._ports, self._connection.address
        ports.book.leave(user_id, self._connection)
        now_s = trio.current_time()
        ports.user_allowances.release(user_id, now_s)
        if address not in ports.limits.addresses_unlimited:
            ports.address_allowances.release(address, now_s)

    def _close_when_expired(self) -> None:
        left_s = self._ports.authority.valid_for_s(self._identity)
        self._connection.close_at(trio.current_time() + left_s, CloseCode.TOKEN_EXPIRED)

    async def _join(self, ref: int | None, resume: Resume | None) -> None:
        """Raises Refused: ROOM_UNKNOWN, ROOM_FAILED, ROOM_BUSY. The room answers to `ref`."""
        with self._ports.rooms.arriving(self._identity.user_id) as arrival:
            await self._arrive(ref, resume, arrival)

    async def _arrive(self, ref: int | None, resume: Resume | None, arrival: Arrival) -> None:
        identity = self._identity
        is_model = identity.role is Role.MODEL
        try:
            viewer = (
                ViewerRecord(Preferences(), None)
                if is_model  # her facts are the room's
                else await self._ports.members.load_viewer(identity.user_id)
            )
            join = Join(
                session_id=self._connection.session_id,
                ref=ref,
                user_id=identity.user_id,
                username=identity.username,
                is_model=is_model,
                membership_tier=identity.membership_tier,
                viewer=viewer,
                integration=self._integration,
                resume=resume,
                page_id=self._page_id,
                is_moderator=identity.role is Role.MODERATOR,
            )
            room = await self._ports.rooms.open(self._room_id)
            try:
                room.tell(_up_to_date(join, arrival))
            except MailboxClosed:
                # Put away between the two lines above: bring it up once more.
                room = await self._ports.rooms.open(self._room_id)
                room.tell(_up_to_date(join, arrival))
        except (StoreUnavailable, MailboxFull, MailboxClosed) as error:
            raise Refused(ErrorCode.ROOM_BUSY) from error
        self._room = room
        # Behind the Join: what waits for this member follows it into the room.
        self._ports.mail.connected(identity.user_id)

    def _leave(self) -> None:
        if self._room is None:
            return
        try:
            self._room.tell_always(Leave(self._connection.session_id))
        except MailboxClosed:
            # The room has ended, and with it all that it knew of this member.
            self._room = None

    # ---- joined --------------------------------------------------------------------------

    async def _take(self, frame: ClientFrame) -> None:
        """Raises Refused, for the answer."""
        now_s = trio.current_time()
        wait_s, scope = self._verbs.take(type(frame), now_s)
        if wait_s > 0:
            self._count_refusal(frame, scope, now_s)
            detail = f"Too many of these from this {scope}; wait and try again."
            raise Refused(ErrorCode.RATE_LIMITED, None, detail, wait_s)
        match frame:
            case Connect():
                detail = "This socket is connected already."
                raise Refused(ErrorCode.INVALID_FIELD, "type", detail)
            case RefreshToken():
                await self._refresh(frame)
            case MessageDelivered(message_id):
                self._ports.mail.delivered(self._identity.user_id, message_id)
            case MessageRead(message_id):
                self._ports.mail.read(self._identity.user_id, message_id)
            case StopToys():
                stop = MemberFrame(self._connection.session_id, frame)
                await self._to_room(lambda room: room.tell_first(stop))
            case (
                Tip()
                | SetPreferences()
                | ReportToys()
                | ReportSettings()
                | SetPresence()
                | Typing()
                | ListMembers()
                | CommandAccepted()
                | CommandActivated()
                | CommandFailed()
                | ResumeToys()
                | StartBroadcast()
                | EndBroadcast()
                | ToyTest()
            ):
                said = MemberFrame(self._connection.session_id, frame)
                await self._to_room(lambda room: room.tell(said))
            case _:
                assert_never(frame)

    async def _refresh(self, frame: RefreshToken) -> None:
        """The new token counts once the room has been told of another tier: all or nothing."""
        new, old = self._ports.authority.verify(frame.token), self._identity
        if (new.user_id, new.role, new.room_id) != (old.user_id, old.role, old.room_id):
            raise Refused(ErrorCode.FORBIDDEN, detail="The token is not for this member.")
        if new.membership_tier is not old.membership_tier:
            changed = TierChanged(self._connection.session_id, new.membership_tier)
            await self._to_room(lambda room: room.tell(changed))
        self._identity = new
        self._close_when_expired()
        self._connection.send(Ok(frame.ref))

    async def _to_room(self, put: Callable[[RoomRef], None]) -> None:
        """Raises Refused with ROOM_BUSY. A room that was put away is opened and joined anew,
        once; behind it the member sees a new snapshot."""
        assert self._room is not None
        try:
            try:
                put(self._room)
            except MailboxClosed:
                await self._rejoin()
                put(self._room)
        except MailboxFull as error:
            raise Refused(ErrorCode.ROOM_BUSY) from error
        except MailboxClosed as error:
            raise _Ended(CloseCode.ROOM_RESTARTING) from error

    async def _rejoin(self) -> None:
        try:
            await self._join(None, None)
        except Refused as refused:
            raise _Ended(_CLOSE_AFTER[refused.refusal.code]) from refused

    # ---- answers -------------------------------------------------------------------------

    def _answer_error(self, ref: int | None, refusal: Refusal) -> None:
        answer = Error(
            ref=ref,
            code=refusal.code,
            text=refusal.text,
            retry=ERRORS[refusal.code].retry,
            field=refusal.field,
            retry_after_s=refusal.retry_after_s,
        )
        self._connection.send(answer)

    def _count_refusal(self, frame: ClientFrame | None, limit: str, now_s: float) -> None:
        verb = "unreadable" if frame is None else str(type(frame).__struct_config__.tag)
        self._ports.refusals[verb, limit] += 1
        if self._flood.refused(now_s):
            raise _Ended(CloseCode.FLOOD)

    def _count_bad_frame(self) -> None:
        self._bad_frames += 1
        if self._bad_frames > self._ports.limits.bad_frames_max:
            raise _Ended(CloseCode.BAD_FRAMES)


def _up_to_date(join: Join, arrival: Arrival) -> Join:
    return msgspec.structs.replace(join, viewer=arrival.brought_up_to_date(join.viewer))


def _ref(frame: ClientFrame) -> int | None:
    """None for a frame that is only told."""
    return getattr(frame, "ref", None)
