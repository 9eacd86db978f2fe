"""Settings of one server process: defaults, then a TOML file, then the environment.

`TIPROOM_CONFIG` names the TOML file; `TIPROOM_<NAME>` sets one value (`TIPROOM_HTTP_PORT`,
`TIPROOM_SOCKETS__OUTBOX_BYTES_MAX` for a table's); `DATABASE_URL` is read as it is everywhere.
Every bad value is named at start, all at once; none is quoted, for it may be a secret.
"""

import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta

from server.sockets.limits import SocketLimits
from server.vendors.lovense import API_URL

Port = Annotated[int, Meta(ge=0, le=65535)]
Host = Annotated[str, Meta(min_length=1)]
"""Never empty: that would listen on every address."""
Percent = Annotated[int, Meta(ge=0, le=100)]
Origin = Annotated[str, Meta(pattern=r"^https?://[^/\s]+\Z")]
"""As browsers send it: without a trailing slash or a path."""

_SECURE: Final = r"https://[^/\s?#@;,'\"]+"
_THIS_MACHINE: Final = r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?"
_PATH: Final = r"(/[^\s?#;,'\"]*[^\s?#;,'\"/])?"
VendorUrl = Annotated[str, Meta(pattern=rf"^({_SECURE}|{_THIS_MACHINE}){_PATH}\Z", max_length=500)]
"""https, for it carries secrets; http to this machine, for a stand-in. No slash at the end."""

SECRET_LENGTH_MIN: Final = 32


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them, with safe defaults. Port 0 takes any free port."""

    demo: bool = False
    """A seeded room, pages, and tokens for whoever asks: never in production, and on
    loopback addresses only."""
    data_dir: Path = Path("var")
    """Of the embedded PostgreSQL and the demo's secret; survives restarts."""
    database_url: Annotated[str, Meta(pattern=r"^postgres(ql)?://")] | None = None
    """An existing PostgreSQL; None starts the embedded one."""
    http_host: Host = "127.0.0.1"
    http_port: Port = 8000
    socket_host: Host = "127.0.0.1"
    socket_port: Port = 8001
    public_socket_url: Annotated[str, Meta(pattern=r"^wss?://[^/\s]+\Z")] | None = None
    """What pages connect to, if a proxy stands before the socket port: `wss://example.org`."""
    allowed_origins: tuple[Origin, ...] = ()
    """Origins whose pages may open sockets, `https://example.org`; our own pages' always may."""
    token_secret: str | None = None
    """HS256 secret shared with the platform that signs tokens; at least 32 characters. Only the
    demo makes its own."""
    webhooks_to_private_addresses: bool = False
    """Whether webhooks may reach addresses that are not of the public internet, and http on this
    machine; always in the demo."""
    metrics_public: bool = False
    """Whether /metrics answers without a token."""
    model_share_percent: Percent = 50
    """Of a tip, to the model; the rest, and the rounding, to the platform."""
    tip_bonus_percent: Annotated[int, Meta(ge=0, le=1000)] = 100
    """Loyalty points per hundred tokens of a plain tip."""
    message_escalation_s: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    """How long a model has to read a viewer's message, before the viewer hears that she has not."""
    purchase_requests_per_min: Annotated[int, Meta(ge=1, le=100_000)] = 60
    """Of one user, for purchases from performance menus and moves on a stage."""
    lovense_developer_token: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    """Of the vendor's dashboard, and never shown to a page; None: toys are simulated."""
    lovense_api_url: VendorUrl = API_URL
    lovense_extension_script_url: VendorUrl | None = None
    lovense_cam_kit_script_url: VendorUrl | None = None
    lovense_basic_sdk_script_url: VendorUrl | None = None
    """The vendor's own, unless it moves them."""
    shutdown_timeout_s: Annotated[float, Meta(gt=0, le=60)] = 4.0
    log_level: Annotated[str, Meta(pattern=r"^(debug|info|warning|error)\Z")] = "info"
    sockets: SocketLimits = SocketLimits()

    @property
    def private_webhooks(self) -> bool:
        """The demo's receivers run on this machine."""
        return self.demo or self.webhooks_to_private_addresses


class BadSettings(Exception):
    """`problems`: one line for each bad value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def load(
    environment: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    *,
    serving: bool = True,
) -> Settings:
    """The settings. `overrides` (the command line) win. Only who is `serving` needs a secret.
    Raises BadSettings."""
    problems: list[str] = []
    values = _from_file(environment.get("TIPROOM_CONFIG"), problems)
    values = _merge(values, _from_environment(environment))
    values |= overrides or {}
    settings = _convert(values, problems)
    if serving and settings is not None and not settings.demo and settings.token_secret is None:
        problems.append("token_secret: required outside the demo (TIPROOM_TOKEN_SECRET)")
    if settings is not None and settings.demo:
        problems += [
            f"{name}: the demo gives tokens to whoever asks, so it listens on this machine only"
            for name in ("http_host", "socket_host")
            if not _is_loopback(getattr(settings, name))
        ]
    secret = settings.token_secret if settings is not None else None
    if secret is not None and len(secret) < SECRET_LENGTH_MIN:
        problems.append(f"token_secret: shorter than {SECRET_LENGTH_MIN} characters")
    if problems or settings is None:
        raise BadSettings(problems)
    return settings


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _from_file(path: str | None, problems: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(Path(path).read_text())
    except OSError as error:
        problems.append(f"TIPROOM_CONFIG: cannot be read ({error.strerror})")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        problems.append("TIPROOM_CONFIG: is not TOML")
    return {}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in environment.items():
        if key == "DATABASE_URL":
            values["database_url"] = value
        elif key.startswith("TIPROOM_") and key != "TIPROOM_CONFIG":
            name, _, inner = key.removeprefix("TIPROOM_").lower().partition("__")
            values = _merge(values, {name: {inner: value} if inner else value})
    return values


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            value = {**old, **value}
        merged[name] = value
    return merged


def _convert(values: dict[str, Any], problems: list[str]) -> Settings | None:
    """Field by field, so that every bad one is named."""
    hints = get_type_hints(Settings, include_extras=True)
    good: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            problems.append(f"{name}: there is no such setting")
            continue
        if name == "sockets":
            good[name] = _convert_table(value, problems)
        else:
            good[name] = _convert_one(name, value, hints[name], problems)
    return None if problems else Settings(**good)


def _convert_table(value: Any, problems: list[str]) -> SocketLimits | None:
    if not isinstance(value, dict):
        problems.append("sockets: must be a table")
        return None
    hints = get_type_hints(SocketLimits, include_extras=True)
    for name in value.keys() - hints.keys():
        problems.append(f"sockets.{name}: there is no such setting")
    good = {
        name: _convert_one(f"sockets.{name}", each, hints[name], problems)
        for name, each in value.items()
        if name in hints
    }
    if problems:
        return None
    try:
        return SocketLimits(**good)
    except ValueError as error:
        problems.append(f"sockets: {error}")
        return None


def _convert_one(name: str, value: Any, hint: Any, problems: list[str]) -> Any:
    if isinstance(value, str) and "tuple" in str(hint):
        value = [each.strip() for each in value.split(",") if each.strip()]
    try:
        return msgspec.convert(value, hint, strict=False, dec_hook=lambda kind, each: kind(each))
    except (msgspec.ValidationError, TypeError, ValueError):
        problems.append(f"{name}: not an allowed value")
        return None
