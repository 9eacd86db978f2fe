"""Addresses that stand where an id could: `/lovense/tip-menu/reorder` beside
`/lovense/tip-menu/{row_id}`.

With `<id_but(reorder, coverage):row_id>` the word is no id: other methods at its address are
answered 405 with the methods that it has, instead of looking for a row of that name.
"""

import re

from quart import Quart
from werkzeug.routing import Map, UnicodeConverter


class _IdBut(UnicodeConverter):
    def __init__(self, url_map: Map, *words: str) -> None:
        super().__init__(url_map)
        self.regex = rf"(?!(?:{'|'.join(re.escape(word) for word in words)})$)[^/]+"


def install(app: Quart) -> None:
    """For the blueprints of `app`, before they are registered."""
    app.url_map.converters["id_but"] = _IdBut
