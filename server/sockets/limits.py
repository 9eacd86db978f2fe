"""Every bound and timeout of the sockets. Times in seconds, sizes in bytes."""

import msgspec


class SocketLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults suit one node in production. Raises ValueError for what cannot work."""

    connections_max: int = 10_000
    """Open TCP connections, handshakes and closings included; above it HTTP 503."""
    connections_per_address_max: int = 100
    """From one IPv4 address or one IPv6 /64 network; above it HTTP 503."""
    connections_per_user_max: int = 20
    """Joined or joining; above it TOO_MANY_CONNECTIONS."""
    addresses_unlimited: tuple[str, ...] = ("127.0.0.1", "::1")
    """Exempt from the limits per address: by default this machine, where a proxy or a load test
    sits and every connection has the same address. Name an outer proxy's addresses here."""
    accepts_per_turn_max: int = 64
    """A storm of new connections leaves the scheduler to established members this often."""

    handshake_timeout_s: float = 10.0
    """From accept to the end of the HTTP upgrade."""
    connect_timeout_s: float = 10.0
    """From the upgrade to a valid `connect`."""
    joins_at_once_max: int = 128
    """Being let in: two batches (actors/batches.py), of which one is being read."""
    joins_waiting_max: int = 5_000
    """Behind them; above it SERVER_BUSY, and after `join_wait_s`."""
    join_wait_s: float = 7.5
    """Below `connect_timeout_s`, so that who waits in vain is told why."""
    close_timeout_s: float = 5.0
    """For what is due, the close frame and the peer's own end; then the socket is dropped."""
    drain_batch: int = 100
    """Members told at once that the server goes away, or more where those would be over 20 batches;
    the next hear it a moment later."""
    heartbeat_s: float = 30.0
    """Between two pings to one member; nothing heard for 2.5 of these closes it."""

    message_bytes_max: int = 64 * 1024
    """Of one message from a client; above it close code 1009."""
    receive_bytes: int = 4 * 1024
    """One read; large enough for nearly every frame of a client."""
    outbox_bytes_max: int = 1024 * 1024
    """Waiting for one member beyond what the kernel took, of what is never dropped; above it
    SLOW_CONSUMER. Must be larger than the largest frame, the snapshot."""
    sampled_bytes_max: int = 64 * 1024
    """Waiting for one member, of all kinds; above it chat is left out. About a second of it."""
    kernel_unsent_bytes_max: int = 16 * 1024
    """TCP_NOTSENT_LOWAT: what a slow member owes waits in the outbox, where it is counted, and
    not in megabytes of socket buffer."""

    frames_per_s: float = 30.0
    """Sustained, from one connection, acks included; above it RATE_LIMITED."""
    frames_burst: int = 60
    verb_factor: float = 1.0
    """Times what the table in `verb_limits` allows of each verb."""
    flood_refusals_max: int = 200
    """Frames refused by rate within `flood_window_s`; above it FLOOD."""
    flood_window_s: float = 10.0
    bad_frames_max: int = 10
    """Undecodable frames over a connection's life; above it BAD_FRAMES."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, (int, float)) and value <= 0:
                raise ValueError(f"`{name}` must be above 0")
