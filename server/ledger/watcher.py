"""Who is told how far a long look at the ledger is."""


class Watcher:
    """This one tells nobody."""

    def begin(self, step: str, total: int) -> None:
        """A new step of `total` rows; 0 where that is not known."""

    def advance(self, rows: int) -> None:
        """So many more rows of this step."""
