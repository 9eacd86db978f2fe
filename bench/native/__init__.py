"""The bench's two programs in C, and how they are made: `python -m bench.native` (make does it).

load_client.c   all members of a room in one loop, the same for every server: its orders
member.c        ... and one member: connection, frames, what is counted
limit_server.c  the system calls that any server needs, and nothing else
websocket.h     what both know of RFC 6455
"""

import os
import subprocess
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
BUILD: Final = FOLDER / "build"
PROGRAMS: Final = {
    "load_client": ("load_client.c", "member.c"),
    "limit_server": ("limit_server.c",),
}
"""Name -> sources."""
FLAGS: Final = ("-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror")


class NotCompiled(Exception):
    """There is no C compiler, or it refused; the text is its own."""


def program(name: str) -> Path:
    """One of PROGRAMS, compiled anew if its source is newer. Raises NotCompiled."""
    sources, made = [FOLDER / source for source in PROGRAMS[name]], BUILD / name
    newest = max(each.stat().st_mtime for each in (*sources, *FOLDER.glob("*.h")))
    if made.exists() and made.stat().st_mtime >= newest:
        return made
    BUILD.mkdir(exist_ok=True)
    # Beside it, then into its place: another process may be doing the same.
    draft = made.with_suffix(f".{os.getpid()}")
    command = [os.environ.get("CC", "cc"), *FLAGS, "-o", str(draft), *map(str, sources)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NotCompiled(f"no C compiler ({command[0]}): apt-get install gcc libc6-dev") from error
    except subprocess.CalledProcessError as error:
        raise NotCompiled(error.stderr) from error
    draft.replace(made)
    return made
