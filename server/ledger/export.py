"""Entries as a file for other programs: CSV or Parquet, one row an entry, exact integers, in the
order of the chains. Written beside its place and moved there when it is whole."""

import csv
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from server.ledger.watcher import Watcher
from server.store import queries
from server.store.ledger_snapshot import LedgerSnapshot, Row

COLUMNS: Final = (
    "account_id",
    "seq",
    "entry_id",
    "transfer_id",
    "kind",
    "source_ref",
    "amount",
    "balance_after",
    "hash",
    "created_at",
)
"""`seq` counts in the account, `kind` and `source_ref` are the transfer's, `hash` is hex,
`created_at` is UTC to the microsecond: in CSV `2026-03-01T12:00:00.000000Z`."""
ROW_GROUP: Final = 65_536
"""Rows that a Parquet file holds in one piece, and so does the memory."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


class FormatMissing(Exception):
    """What writes this format is not installed; the text says how it is."""


class OutputFailed(Exception):
    """The file cannot be written; the text names it and says why."""


class _Writer(ABC):
    """Writes rows of queries.EXPORT_ENTRIES; what is written is whole once it is closed."""

    @abstractmethod
    def write(self, rows: list[Row]) -> None: ...

    @abstractmethod
    def close(self) -> None: ...


async def export(
    snapshot: LedgerSnapshot,
    kind: Format,
    output: Path,
    begin: datetime | None,
    end: datetime | None,
    watcher: Watcher,
) -> int:
    """Write the entries of begin <= created_at < end (aware; None: all) to `output`; how many they
    are. What is there is replaced, but only by the whole. Waits for as long as that takes. Raises
    OutputFailed; FormatMissing before anything is written."""
    make_writer: Callable[[Path], _Writer] = _CsvWriter
    if kind is Format.PARQUET:
        make_writer = _parquet_writer()
    watcher.begin("entries", await snapshot.value(queries.COUNT_EXPORTED, begin, end))
    written = 0
    with _moved_when_whole(output) as unfinished:
        with _output_errors(output):
            writer = make_writer(unfinished)

        def take(rows: list[Row]) -> None:
            nonlocal written
            with _output_errors(output):
                writer.write(rows)
            written += len(rows)
            watcher.advance(len(rows))

        try:
            await snapshot.stream(queries.EXPORT_ENTRIES, take, begin, end)
        finally:
            with _output_errors(output):
                writer.close()
    return written


@contextmanager
def _moved_when_whole(output: Path) -> Iterator[Path]:
    """A new file of the same folder that only its owner can read: these are people's payments."""
    with _output_errors(output):
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        with _output_errors(output):
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _output_errors(output: Path) -> Iterator[None]:
    """Apart from those of the database's connection, which are OSErrors, too."""
    try:
        yield
    except OSError as error:
        raise OutputFailed(f"{str(output)!r}: {error.strerror or error}") from error


class _CsvWriter(_Writer):
    """RFC 4180, UTF-8, with a line of headings."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file)
        self._csv.writerow(COLUMNS)

    def write(self, rows: list[Row]) -> None:
        self._csv.writerows(
            [*(field.decode() for field in row[:-1]), _iso(row[-1])] for row in rows
        )

    def close(self) -> None:
        self._file.close()


def _parquet_writer() -> Callable[[Path], _Writer]:
    """Made here, because who does not export to Parquet needs no pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise FormatMissing(
            "Parquet needs pyarrow: install the extra `export` (pip install 'tiproom[export]')"
        ) from error

    integers = ("seq", "amount", "balance_after")
    types: dict[str, Any] = dict.fromkeys(COLUMNS, pyarrow.string())
    types |= dict.fromkeys(integers, pyarrow.int64())
    types["created_at"] = pyarrow.timestamp("us", tz="UTC")
    schema = pyarrow.schema([pyarrow.field(name, types[name]) for name in COLUMNS])
    numbers = {COLUMNS.index(name) for name in (*integers, "created_at")}

    class ParquetWriter(_Writer):
        def __init__(self, path: Path) -> None:
            self._parquet = parquet.ParquetWriter(path, schema, compression="zstd")
            self._waiting: list[Row] = []

        def write(self, rows: list[Row]) -> None:
            self._waiting += rows
            while len(self._waiting) >= ROW_GROUP:
                self._write_group(self._waiting[:ROW_GROUP])
                del self._waiting[:ROW_GROUP]

        def close(self) -> None:
            if self._waiting:
                self._write_group(self._waiting)
            self._parquet.close()

        def _write_group(self, rows: list[Row]) -> None:
            columns = [
                pyarrow.array(
                    [int(each) if at in numbers else each.decode() for each in column],
                    type=types[name],
                )
                for at, (name, column) in enumerate(
                    zip(COLUMNS, zip(*rows, strict=True), strict=True)
                )
            ]
            self._parquet.write_table(pyarrow.Table.from_arrays(columns, schema=schema))

    return ParquetWriter


def _iso(created_us: bytes) -> str:
    moment = _EPOCH + timedelta(microseconds=int(created_us))
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
