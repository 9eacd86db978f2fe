"""The OpenAPI document: from the handlers' own structs, with every part that they refer to."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from quart_schema.openapi import OpenAPIProvider
from werkzeug.routing.converters import BaseConverter, UnicodeConverter
from werkzeug.routing.rules import Rule

from server.http.path_ids import kind_of
from server.http.problem import CHALLENGE, MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"


F = TypeVar("F", bound=Callable[..., Any])


def document_roles(handler: F, roles: Iterable[str]) -> F:
    """Writes down who may call `handler`, as `x-roles`: OpenAPI has no place for a role that no
    scheme exchanges and any one of which is enough."""
    handler._document_roles = sorted(roles)  # type: ignore[attr-defined]
    return handler


class StructProvider(OpenAPIProvider):
    """quart-schema's own provider documents only the outermost struct of a body; ours refers to
    it by name and adds all structs below it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._components: dict[str, Any] = {}

    def schema(self) -> dict[str, Any]:
        document: dict[str, Any] = super().schema()
        document["components"]["schemas"].update(self._components)
        for methods in document["paths"].values():
            for operation in methods.values():
                _describe_errors(operation["responses"])
        return document

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        paths, components = super().build_paths(rule)
        roles = getattr(self._app.view_functions[rule.endpoint], "_document_roles", None)
        if roles is not None:
            for methods in paths.values():
                for operation in methods.values():
                    operation["x-roles"] = roles
        return paths, components

    def build_path_parameter(self, name: str, converter: BaseConverter) -> dict[str, Any]:
        """A plain path value is an id: `guard.allow` answers 404 for what cannot be one."""
        parameter: dict[str, Any] = super().build_path_parameter(name, converter)
        if isinstance(converter, UnicodeConverter):
            parameter["schema"] = self._schema_of(kind_of(name))
        return parameter

    def build_querystring_parameters(
        self, model: Any
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        fields = msgspec.structs.fields(model)
        _, components = msgspec.json.schema_components([model], ref_template=_REF)
        properties = components.pop(model.__name__)["properties"]
        self._components.update(components)
        parameters = [
            {"name": name, "in": "query", "required": False, "schema": _spelled(properties[name])}
            for name in (field.encode_name for field in fields)
        ]
        return parameters, {}

    def build_request_body(self, model: Any, _source: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        content = {"application/json": {"schema": self._schema_of(model)}}
        return {"required": True, "content": content}, {}

    def build_response_object(
        self, model: Any, _headers_model: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        # A struct that is not answered as JSON names its media type itself.
        media_type = getattr(model, "media_type", "application/json")
        if model is Problem:
            media_type = MEDIA_TYPE
        description = (model.__doc__ or "Done.").strip().splitlines()[0]
        content = {media_type: {"schema": self._schema_of(model)}}
        return {"description": description, "content": content}, {}

    def _schema_of(self, model: Any) -> dict[str, Any]:
        (schema,), components = msgspec.json.schema_components([model], ref_template=_REF)
        self._components.update(components)
        return schema


def _spelled(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a query parameter: there, None is a name that is left out, not a value."""
    values = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if not values:
        return schema
    return values[0] if len(values) == 1 else {"anyOf": values}


def _describe_errors(responses: dict[str, Any]) -> None:
    """What every answer of a status has in common."""
    for status, response in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST:
            response["description"] = HTTPStatus(int(status)).phrase
        if int(status) == HTTPStatus.UNAUTHORIZED:
            challenge = {"required": True, "schema": {"const": CHALLENGE}}
            response["headers"] = {"WWW-Authenticate": challenge}
