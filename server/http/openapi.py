"""The OpenAPI document: from the handlers' own structs, with every part that they refer to."""

from typing import Any

import msgspec
from quart_schema.openapi import OpenAPIProvider

from server.http.problem import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"


class StructProvider(OpenAPIProvider):
    """quart-schema's own provider documents only the outermost struct of a body; ours refers to
    it by name and adds all structs below it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._components: dict[str, Any] = {}

    def schema(self) -> dict[str, Any]:
        document: dict[str, Any] = super().schema()
        document["components"]["schemas"].update(self._components)
        return document

    def build_request_body(self, model: Any, _source: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        content = {"application/json": {"schema": self._schema_of(model)}}
        return {"required": True, "content": content}, {}

    def build_response_object(
        self, model: Any, _headers_model: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        media_type = MEDIA_TYPE if model is Problem else "application/json"
        description = (model.__doc__ or "Done.").strip().splitlines()[0]
        content = {media_type: {"schema": self._schema_of(model)}}
        return {"description": description, "content": content}, {}

    def _schema_of(self, model: Any) -> dict[str, Any]:
        (schema,), components = msgspec.json.schema_components([model], ref_template=_REF)
        self._components.update(components)
        return schema
