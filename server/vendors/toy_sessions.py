"""What one user's own page needs to drive the toy: which product, which script, which token.

Without a developer token, everybody gets the simulator that ships with the server, and is told so.
"""

from typing import Final, Literal
from urllib.parse import quote, urlsplit

import msgspec

from protocol.tip_activated import LovenseMode
from protocol.toy_settings import CAM_SITE_NAME
from server.vendors.lovense import API_URL, Lovense
from server.vendors.user_tokens import UserTokens

EXTENSION_SCRIPT: Final = "/cam-extension/static/js-sdk/broadcast.js"
CAM_KIT_SCRIPT: Final = "/api/cam/model/v2/model.js"
CAM_KIT_SETTINGS: Final = "/api/cam/model/v2/setting"
BASIC_SDK_SCRIPT: Final = "/basic-sdk/core.min.js"

PAGE_HOSTS: Final = ("*.lovense.com", "*.lovense-api.com", "*.lovense.club:*")
"""Whom the vendor's scripts talk to, by its own list for content policies (Basic JS SDK)."""


class VendorUrls(msgspec.Struct, frozen=True):
    """Where the vendor's things are. A script that is None is under `api`, as documented."""

    api: str = API_URL
    extension_script: str | None = None
    cam_kit_script: str | None = None
    basic_sdk_script: str | None = None


class ModelToySession(msgspec.Struct, frozen=True, rename="camel", tag_field="role", tag="model"):
    """The model's page. `simulated`: it loads the simulator in place of a script. `autoConnect`: it
    loads it by itself; else once she asks for it. `modelToken` and `settingsUrl` belong to CAM_KIT,
    and act as the model: for her own page alone."""

    integration: LovenseMode
    simulated: bool
    auto_connect: bool
    website_name: str
    model_name: str
    script_url: str | None = None
    model_token: str | None = None
    settings_url: str | None = None


class ViewerToySession(msgspec.Struct, frozen=True, rename="camel", tag_field="role", tag="viewer"):
    """A viewer's page, on the Basic JS SDK. `simulated`, `autoConnect`: as a model's. `authToken`
    acts as the viewer: for the own page alone."""

    simulated: bool
    auto_connect: bool
    uid: str
    platform: str
    script_url: str | None = None
    auth_token: str | None = None
    integration: Literal["BASIC_SDK"] = "BASIC_SDK"


class ToySessions:
    """Makes them. `lovense` None: no developer token is configured."""

    def __init__(self, lovense: Lovense | None, urls: VendorUrls) -> None:
        self._lovense = lovense
        self._urls = urls
        self._extension_script = urls.extension_script or urls.api + EXTENSION_SCRIPT
        self._cam_kit_script = urls.cam_kit_script or urls.api + CAM_KIT_SCRIPT
        self._basic_sdk_script = urls.basic_sdk_script or urls.api + BASIC_SDK_SCRIPT
        self._tokens = UserTokens()

    @property
    def simulated(self) -> bool:
        return self._lovense is None

    @property
    def page_hosts(self) -> tuple[str, ...]:
        """Whom our pages may load from and talk to, as a content policy names them, without a
        scheme where any secure one will do; none while toys are simulated."""
        if self.simulated:
            return ()
        scripts = (self._extension_script, self._cam_kit_script, self._basic_sdk_script)
        origins = {_origin(url) for url in (self._urls.api, *scripts)}
        return (*PAGE_HOSTS, *sorted(origins - {API_URL}))

    async def of_model(
        self, integration: LovenseMode, model_id: str, model_name: str, auto_connect: bool
    ) -> ModelToySession:
        """Raises Refused: VENDOR_REFUSED, VENDOR_UNAVAILABLE, RATE_LIMITED; for CAM_KIT alone, the
        only one that needs a token."""
        plain = ModelToySession(
            integration,
            self.simulated,
            auto_connect,
            website_name=CAM_SITE_NAME,
            model_name=model_name,
        )
        lovense = self._lovense
        if lovense is None:
            return plain
        if integration is LovenseMode.EXTENSION:
            return msgspec.structs.replace(plain, script_url=self._extension_script)
        token = await self._tokens.get(
            f"model:{model_id}", lambda: lovense.model_token(model_id, model_name)
        )
        query = f"?mToken={quote(token, safe='')}"
        return msgspec.structs.replace(
            plain,
            script_url=self._cam_kit_script + query,
            model_token=token,
            settings_url=self._urls.api + CAM_KIT_SETTINGS + query,
        )

    async def of_viewer(self, user_id: str, username: str, auto_connect: bool) -> ViewerToySession:
        """Raises Refused: VENDOR_REFUSED, VENDOR_UNAVAILABLE, RATE_LIMITED."""
        plain = ViewerToySession(self.simulated, auto_connect, uid=user_id, platform=CAM_SITE_NAME)
        lovense = self._lovense
        if lovense is None:
            return plain
        token = await self._tokens.get(
            f"viewer:{user_id}", lambda: lovense.viewer_token(user_id, username)
        )
        return msgspec.structs.replace(plain, script_url=self._basic_sdk_script, auth_token=token)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
