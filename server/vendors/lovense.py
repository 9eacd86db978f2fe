"""Tokens for a user's own page, from the vendor's API (spec 4: Cam Kit for Web, Basic JS SDK).

The developer token stays here. What comes back acts as its owner: it goes to that one user's own
page and nowhere else. Of what the vendor answers only the number of its `code` is ever logged.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Annotated, Any, Final, TypeVar

import httpx
import msgspec
import structlog
import trio
from msgspec import Meta

from protocol.errors import ErrorCode, Refused

API_URL: Final = "https://api.lovense-api.com"
MODEL_TOKEN_PATH: Final = "/api/cam/model/getToken"
VIEWER_TOKEN_PATH: Final = "/api/basicApi/getToken"

CONNECT_TIMEOUT_S: Final = 3.0
TOTAL_TIMEOUT_S: Final = 8.0
ANSWER_BYTES_MAX: Final = 64 * 1024
CALLS_AT_ONCE_MAX: Final = 16
"""More wait for one of these: a crowd that opens its pages must not be one of calls."""

_CAM_KIT_OK: Final = 200
_BASIC_OK: Final = 0

T = TypeVar("T")

_Token = Annotated[str, Meta(min_length=1, max_length=4096)]


class _ModelToken(msgspec.Struct, frozen=True):
    m_token: _Token = msgspec.field(name="mToken")


class _ViewerToken(msgspec.Struct, frozen=True):
    auth_token: _Token = msgspec.field(name="authToken")


class _Answer(msgspec.Struct, frozen=True):
    """`code` comes as a number or as its digits; `data` is an object only where all went well."""

    code: int | str
    data: Any = None


class Lovense:
    """The vendor's API with one developer token. Made by `open_lovense`."""

    def __init__(self, http: httpx.AsyncClient, developer_token: str, timeout_s: float) -> None:
        self._http = http
        self._timeout_s = timeout_s
        self._developer_token = developer_token
        self._calls = trio.CapacityLimiter(CALLS_AT_ONCE_MAX)
        self._log = structlog.get_logger("tiproom.vendors.lovense")

    async def model_token(self, model_id: str, model_name: str) -> str:
        """`mToken` of one model, for her own page on Cam Kit. Raises Refused: VENDOR_REFUSED, which
        the operator has to mend (a wrong developer token, an unknown user); VENDOR_UNAVAILABLE,
        where the same again may succeed."""
        info = msgspec.json.encode({"mId": model_id, "mName": model_name}).decode()
        data = await self._post(
            MODEL_TOKEN_PATH, _CAM_KIT_OK, data={"dToken": self._developer_token, "mInfo": info}
        )
        return self._convert(data, _ModelToken).m_token

    async def viewer_token(self, user_id: str, username: str) -> str:
        """`authToken` of one user, for the own page on the Basic JS SDK. Raises as `model_token`
        does."""
        data = await self._post(
            VIEWER_TOKEN_PATH,
            _BASIC_OK,
            json={"token": self._developer_token, "uid": user_id, "uname": username},
        )
        return self._convert(data, _ViewerToken).auth_token

    async def _post(self, path: str, ok: int, **body: Mapping[str, str]) -> Any:
        """What stands under `data` in an answer whose code is `ok`."""
        try:
            # The wait for a turn counts, too: nobody waits longer, however many come at once.
            with trio.fail_after(self._timeout_s):
                async with self._calls:
                    answer = await self._exchange(path, **body)
        except (httpx.HTTPError, trio.TooSlowError) as error:
            self._log.warning("vendor_unavailable", path=path, reason=type(error).__name__)
            raise Refused(ErrorCode.VENDOR_UNAVAILABLE) from error
        code = _number(answer.code)
        if code != ok:
            self._log.error("vendor_refused", path=path, code=code)
            raise Refused(ErrorCode.VENDOR_REFUSED)
        return answer.data

    async def _exchange(self, path: str, **body: Any) -> _Answer:
        """One request, whatever its HTTP status: the vendor says in `code` how it went."""
        async with self._http.stream("POST", path, **body) as response:
            if response.status_code >= 500 or response.is_redirect:
                raise httpx.HTTPStatusError(
                    "unexpected status", request=response.request, response=response
                )
            read = bytearray()
            # Raw: a few compressed bytes could unpack to any size before they are counted.
            # Cancelled, not left: httpx's nested generators end at once in no other way.
            with trio.CancelScope() as too_long:
                async for chunk in response.aiter_raw():
                    read += chunk
                    if len(read) > ANSWER_BYTES_MAX:
                        too_long.cancel()
            if len(read) > ANSWER_BYTES_MAX:
                raise httpx.DecodingError("too long an answer", request=response.request)
        try:
            return msgspec.json.decode(read, type=_Answer)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            # From None: the text would quote what came.
            raise httpx.DecodingError("not the vendor's JSON") from None

    def _convert(self, data: Any, kind: type[T]) -> T:
        try:
            return msgspec.convert(data, kind)
        except msgspec.ValidationError:
            self._log.error("vendor_answer_unknown", kind=kind.__name__)
            raise Refused(ErrorCode.VENDOR_UNAVAILABLE) from None


def _number(code: int | str) -> int | None:
    """None for what is none."""
    if isinstance(code, int):
        return code
    return int(code) if code.isascii() and code.isdigit() and len(code) < 10 else None


@asynccontextmanager
async def open_lovense(
    developer_token: str, api_url: str = API_URL, timeout_s: float = TOTAL_TIMEOUT_S
) -> AsyncIterator[Lovense]:
    """The vendor's API, with connections of its own, as long as the block.

    `timeout_s`: for one call, the wait for its turn included. Redirects are not followed and
    proxies of the environment not used: the developer token goes to `api_url` alone. No cookies
    are kept: one user's answer must not reach into another user's request.
    """
    async with httpx.AsyncClient(
        base_url=api_url,
        headers={"Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
        follow_redirects=False,
        trust_env=False,
    ) as http:
        yield Lovense(http, developer_token, timeout_s)
