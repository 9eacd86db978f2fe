"""The command line: `tiproom run`, `tiproom ledger`."""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import structlog
import trio

from server import app
from server.ledger import commands as ledger
from server.observe import logs
from server.settings import BadSettings, Settings, load

COLLECT_AFTER: Final = (10_000, 20, 100)
"""Objects that were made and not freed; smaller collections before a larger one. A small one takes
a millisecond, and cycles among what is new hold a few megabytes at most."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status of `run`: 0 after a clean stop, 1 when the server cannot start, 2 for settings
    that cannot be used; of `ledger`, see there. Failures are told in plain lines on standard
    error."""
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    if command == "ledger":
        return ledger.main(options, os.environ)
    overrides = {name: value for name, value in options.items() if value is not None}
    try:
        settings = load(os.environ, overrides)
    except BadSettings as error:
        for problem in error.problems:
            print(f"tiproom: {problem}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    assert command == "run"
    _spare_the_collector()
    status = 0
    try:
        trio.run(_run, settings)
    except* app.StartFailed as failures:
        for failure in _leaves(failures):
            print(f"tiproom: {failure}", file=sys.stderr)
        status = 1
    return status


def _spare_the_collector() -> None:
    """By default a full collection comes with every quarter that the heap grows, and stops the
    world for longer the more members there are; a stop may take 50 ms. Reference counts
    free nearly everything here; cycles may wait until there are more of them."""
    gc.freeze()  # the code itself, which no collection needs to look at again
    gc.set_threshold(*COLLECT_AFTER)


def _leaves(group: BaseExceptionGroup[app.StartFailed]) -> Iterator[app.StartFailed]:
    """Nurseries wrap what is raised inside them, each once."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tiproom", description="Real-time room server.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="serve until interrupted")
    run.add_argument("--demo", action="store_const", const=True, help="a seeded room and pages")
    run.add_argument("--data-dir", help="where the embedded PostgreSQL keeps its data")
    run.add_argument("--http-port", type=int)
    run.add_argument("--socket-port", type=int)
    ledger.add_parser(commands)
    return parser


async def _run(settings: Settings) -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signal, stop)
        await app.run(settings, stop, partial(_announce, settings))
        nursery.cancel_scope.cancel()


async def _stop_on_signal(
    stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """The first signal asks for a clean stop; a second one ends at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if stop.is_set():
                os._exit(128 + number)
            stop.set()


def _announce(settings: Settings, ready: app.Ready) -> None:
    structlog.get_logger("tiproom").info(
        "ready", http_url=ready.http_url, socket_url=ready.socket_url, demo=settings.demo
    )
    if settings.demo:
        for line in _demo_lines(ready):
            print(line, flush=True)


def _demo_lines(ready: app.Ready) -> list[str]:
    return [
        "",
        "  Tiproom demo: simulated toys, play tokens. Not for production.",
        "",
        f"  the model's page   {ready.http_url}/demo/model",
        f"  a viewer's page    {ready.http_url}/demo/viewer?as=alex",
        f"  everyone           {ready.http_url}/demo/",
        f"  API document       {ready.http_url}/openapi.json",
        "",
        "  Ctrl-C stops.",
        "",
    ]


if __name__ == "__main__":
    sys.exit(main())
