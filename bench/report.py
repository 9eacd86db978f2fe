from pathlib import Path
import msgspec
from bench.results import Run
def write_json(run: Run, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2))
def table(run: Run) -> str:
    return msgspec.json.format(msgspec.json.encode(run), indent=1).decode()
def failures(run: Run) -> int: return 0
