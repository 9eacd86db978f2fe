"""Settings: where they come from, which wins, and that each bad one is named without its value."""

from pathlib import Path
from typing import Any

import pytest

from server.settings import BadSettings, Settings, load

SECRET = "0123456789abcdef0123456789abcdef"
DEMO = {"TIPROOM_DEMO": "true"}


def problems(environment: dict[str, str], overrides: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        load(environment, overrides)
    return caught.value.problems


def names(environment: dict[str, str]) -> set[str]:
    return {problem.split(":")[0] for problem in problems(environment)}


def test_the_demo_needs_nothing() -> None:
    assert load(DEMO) == Settings(demo=True)


def test_the_environment_is_read() -> None:
    settings = load(
        {
            "TIPROOM_TOKEN_SECRET": SECRET,
            "TIPROOM_HTTP_PORT": "0",
            "TIPROOM_DATA_DIR": "/srv/tiproom",
            "TIPROOM_ALLOWED_ORIGINS": "https://a.example, https://b.example:8443",
            "TIPROOM_SHUTDOWN_TIMEOUT_S": "2.5",
            "TIPROOM_SOCKETS__OUTBOX_BYTES_MAX": "2048",
            "TIPROOM_SOCKETS__ADDRESSES_UNLIMITED": "10.0.0.1",
            "DATABASE_URL": "postgresql://host/name",
            "PATH": "/usr/bin",
        }
    )
    assert settings.token_secret == SECRET
    assert settings.http_port == 0
    assert settings.data_dir == Path("/srv/tiproom")
    assert settings.allowed_origins == ("https://a.example", "https://b.example:8443")
    assert settings.shutdown_timeout_s == 2.5
    assert settings.sockets.outbox_bytes_max == 2048
    assert settings.sockets.addresses_unlimited == ("10.0.0.1",)
    assert settings.database_url == "postgresql://host/name"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example",
        "https://api.example:8443/lovense",
        "http://127.0.0.1:9000",
        "http://localhost",
        "http://[::1]:9000/a.js",
    ],
)
def test_the_vendors_address_is_secure_or_on_this_machine(url: str) -> None:
    assert load(DEMO | {"TIPROOM_LOVENSE_API_URL": url}).lovense_api_url == url


def test_the_file_is_below_the_environment_which_is_below_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "tiproom.toml"
    file.write_text(
        "demo = true\nhttp_port = 1\nsocket_port = 1\nmodel_share_percent = 1\n"
        "[sockets]\nheartbeat_s = 1.5\nframes_burst = 1\n"
    )
    settings = load(
        {
            "TIPROOM_CONFIG": str(file),
            "TIPROOM_SOCKET_PORT": "2",
            "TIPROOM_MODEL_SHARE_PERCENT": "2",
            "TIPROOM_SOCKETS__FRAMES_BURST": "2",
        },
        {"model_share_percent": 3},
    )
    assert (settings.http_port, settings.socket_port, settings.model_share_percent) == (1, 2, 3)
    assert (settings.sockets.heartbeat_s, settings.sockets.frames_burst) == (1.5, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEMO", "perhaps"),
        ("HTTP_PORT", "65536"),
        ("HTTP_PORT", "-1"),
        ("SOCKET_PORT", "80.5"),
        ("HTTP_HOST", ""),
        ("SOCKET_HOST", ""),
        ("PUBLIC_SOCKET_URL", "https://a.example"),
        ("PUBLIC_SOCKET_URL", "wss://a.example/"),
        ("ALLOWED_ORIGINS", "a.example"),
        ("ALLOWED_ORIGINS", "https://a.example/"),
        ("ALLOWED_ORIGINS", "https://a.example, *"),
        ("MODEL_SHARE_PERCENT", "101"),
        ("TIP_BONUS_PERCENT", "-1"),
        ("SHUTDOWN_TIMEOUT_S", "0"),
        ("SHUTDOWN_TIMEOUT_S", "nan"),
        ("SHUTDOWN_TIMEOUT_S", "inf"),
        ("LOG_LEVEL", "verbose"),
        ("LOG_LEVEL", "info\n"),
        ("METRICS_PUBLIC", "2"),
        ("LOVENSE_DEVELOPER_TOKEN", ""),
        ("LOVENSE_API_URL", "http://api.example"),
        ("LOVENSE_API_URL", "https://api.example/"),
        ("LOVENSE_API_URL", "https://user:word@api.example"),
        ("LOVENSE_API_URL", "http://127.0.0.1.example"),
        ("LOVENSE_EXTENSION_SCRIPT_URL", "https://api.example/a.js?b=c"),
        ("LOVENSE_CAM_KIT_SCRIPT_URL", "https://api.example; script-src *"),
        ("LOVENSE_BASIC_SDK_SCRIPT_URL", "/basic.js"),
        ("SOCKETS", "many"),
        ("SOCKETS__OUTBOX_BYTES_MAX", "lots"),
        ("SOCKETS__OUTBOX_BYTES_MAX", "0"),
        ("SOCKETS__NONE", "1"),
        ("NONE", "1"),
    ],
)
def test_a_bad_value_is_named_and_not_quoted(name: str, value: str) -> None:
    said = problems(DEMO | {f"TIPROOM_{name}": value})
    assert len(said) == 1
    assert said[0].startswith(name.split("__")[0].lower())
    assert not value or len(value) < 3 or value not in said[0]


@pytest.mark.parametrize("url", ["", "mysql://host/name", "host"])
def test_a_database_url_of_another_kind(url: str) -> None:
    assert names(DEMO | {"DATABASE_URL": url}) == {"database_url"}


def test_all_are_named_at_once() -> None:
    environment = {
        "TIPROOM_HTTP_PORT": "x",
        "TIPROOM_LOG_LEVEL": "x",
        "TIPROOM_SOCKETS__FRAMES_BURST": "x",
        "TIPROOM_SOCKETS__NONE": "x",
        "TIPROOM_NONE": "x",
    }
    assert names(environment) == {
        "http_port",
        "log_level",
        "sockets.frames_burst",
        "sockets.none",
        "none",
    }


def test_a_table_and_a_value_of_one_name_do_not_mix() -> None:
    """Whichever comes last in the environment counts; neither order crashes."""
    value, inner = {"TIPROOM_SOCKETS": "x"}, {"TIPROOM_SOCKETS__FRAMES_BURST": "1"}
    assert load(DEMO | value | inner).sockets.frames_burst == 1
    assert problems(DEMO | inner | value) == ["sockets: must be a table"]


def test_outside_the_demo_a_secret_is_required_and_long() -> None:
    assert problems({}) == ["token_secret: required outside the demo (TIPROOM_TOKEN_SECRET)"]
    assert names({"TIPROOM_TOKEN_SECRET": SECRET[:-1]}) == {"token_secret"}
    assert names(DEMO | {"TIPROOM_TOKEN_SECRET": ""}) == {"token_secret"}
    assert load({"TIPROOM_TOKEN_SECRET": SECRET}).demo is False


@pytest.mark.parametrize("content", [b"demo = ", b"\xff\xfe", b"[[sockets]]\n"])
def test_a_file_that_is_not_what_it_should_be(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tiproom.toml"
    file.write_bytes(content)
    assert names(DEMO | {"TIPROOM_CONFIG": str(file)}) <= {"TIPROOM_CONFIG", "sockets"}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert names(DEMO | {"TIPROOM_CONFIG": str(tmp_path / "none")}) == {"TIPROOM_CONFIG"}
    assert names(DEMO | {"TIPROOM_CONFIG": str(tmp_path)}) == {"TIPROOM_CONFIG"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "tiproom.example"])
def test_the_demo_listens_on_this_machine_only(host: str) -> None:
    hosts = {"TIPROOM_HTTP_HOST": host, "TIPROOM_SOCKET_HOST": host}
    assert names(DEMO | hosts) == {"http_host", "socket_host"}
    assert load({"TIPROOM_TOKEN_SECRET": SECRET} | hosts).http_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_the_demo_listens_on_any_loopback_address(host: str) -> None:
    assert load(DEMO | {"TIPROOM_HTTP_HOST": host}).http_host == host
