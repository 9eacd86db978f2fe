"""Which connections a user has: so that there are not too many, and one call closes all."""

from protocol.errors import CloseCode, ErrorCode, Refused
from server.sockets.connection import Connection


class MemberBook:
    """Of one process. Nothing here waits."""

    def __init__(self) -> None:
        self._connections: dict[str, dict[int, Connection]] = {}

    def enter(self, user_id: str, connection: Connection, per_user_max: int) -> None:
        """Raises Refused with TOO_MANY_CONNECTIONS."""
        own = self._connections.setdefault(user_id, {})
        if len(own) >= per_user_max:
            raise Refused(ErrorCode.TOO_MANY_CONNECTIONS)
        own[connection.session_id] = connection

    def leave(self, user_id: str, connection: Connection) -> None:
        own = self._connections[user_id]
        del own[connection.session_id]
        if not own:
            del self._connections[user_id]

    def kick(self, user_id: str) -> int:
        """Close all of a user's connections, not to come back. How many there were."""
        own = list(self._connections.get(user_id, {}).values())
        for connection in own:
            connection.close(CloseCode.KICKED)
        return len(own)

    def __len__(self) -> int:
        """Users with a connection."""
        return len(self._connections)
