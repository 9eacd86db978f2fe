"""Frames that others hand to the room, for everyone or for one of its members. It reads none."""

import msgspec

from actors.ports import SessionId
from actors.room.effects import Effect, Publish, Send
from actors.room.messages import PublishEvent, SendToUser
from actors.room.state import RoomState
from actors.room.tips import reply
from protocol.frames import HistoryEvent


def publish(state: RoomState, message: PublishEvent) -> list[Effect]:
    """In its place among the room's own events: counted if it is one of the history, which is kept
    for those who return."""
    counted = isinstance(message.event, HistoryEvent)
    offset = state.next_offset() if counted else state.offset
    event = msgspec.structs.replace(message.event, epoch=state.epoch, offset=offset)
    answer = [] if message.reply_to is None else reply(message.reply_to, None)
    return [Publish(event), *answer]


def send(state: RoomState, message: SendToUser) -> list[Effect]:
    """To all that the user has open here."""
    sessions: list[SessionId] = []
    if message.user_id == state.model_id and state.model_page is not None:
        sessions = [state.model_page.session_id]
    elif message.user_id in state.viewers:
        sessions = list(state.viewers[message.user_id].sessions)
    sent: list[Effect] = [Send(session_id, message.frame) for session_id in sessions]
    return sent if message.reply_to is None else sent + reply(message.reply_to, len(sessions))
