"""The API in OpenAPI's words, with the limits that the server keeps."""

from typing import Any

from pmm_jax.serve import limits

Schema = dict[str, Any]

FILTER_FORMAT = "condition"
"""Format of `where` in the description: conditions on columns."""
_TEXT: Schema = {"type": "string"}
_VALUE: Schema = {"type": ["integer", "number", "string", "null"]}
_ROW: Schema = {
    "type": "integer",
    "minimum": 0,
    "maximum": 2**53,
    "description": (
        "Number of an image of the gallery, as this server has given it in an answer; it holds "
        "until the server ends."
    ),
}
_TOP: Schema = {
    "type": "integer",
    "minimum": 1,
    "maximum": limits.MAX_TOP,
    "default": limits.DEFAULT_TOP,
}
_WHERE: Schema = {
    "type": "string",
    "format": FILTER_FORMAT,
    "maxLength": limits.MAX_FILTER,
    "description": "Only among images that fit, such as `camera != 3 and id = 12`.",
}
_IMAGE: Schema = {
    "type": "string",
    "contentMediaType": "application/octet-stream",
    "description": (
        f"A JPEG, PNG, BMP or WEBP image of at most {limits.MAX_UPLOAD >> 20} MiB and "
        f"{limits.MAX_PIXELS:,} pixels."
    ),
}


def describe() -> Schema:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "pmm serve", "version": "1"},
        # Without a token the server asks for none.
        "security": [{}, {"token": []}],
        "paths": {
            "/api/search": {"post": _search()},
            "/api/explain": {"post": _explain()},
            "/api/gallery": {"get": _about()},
            "/api/images": {"get": _images()},
            "/api/images/{row}": {"get": _picture()},
            "/healthz": {"get": _health()},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _object(error=_TEXT | {"description": "One line."}),
                "Image": _object(**_known()),
                "Result": _object(
                    rank={"type": "integer", "minimum": 1},
                    distance={"type": "number", "minimum": 0},
                    decision={"enum": ["same", "unsure", "different", None]},
                    **_known(),
                ),
            },
        },
    }


def _search() -> Schema:
    answer = _object(
        query=_TEXT, results=_list("Result"), warnings={"type": "array", "items": _TEXT}
    )
    body = _form(top=_TOP, where=_WHERE)
    return _operation("search", "Nearest images of the gallery", answer, body=body)


def _explain() -> Schema:
    pictures = {"type": "array", "items": _TEXT | {"description": "WebP as a data URI."}}
    answer = _object(
        distance={"type": "number", "minimum": 0},
        cosine={"type": ["number", "null"]},
        heads={"type": "array", "items": _TEXT},
        query=pictures,
        result=pictures,
    )
    result = {"name": "result", "in": "query", "required": True, "schema": _ROW}
    summary = "What made an image match one of the gallery, by head"
    return _operation("explain", summary, answer, body=_form(), parameters=[result])


def _about() -> Schema:
    answer = _object(
        images={"type": "integer", "minimum": 0},
        columns={
            "type": "object",
            "additionalProperties": {"enum": ["integers", "numbers", "text"]},
        },
        distance={"enum": ["euclidean", "cosine"]},
        model=_TEXT | {"description": "Fingerprint."},
        is_calibrated={"type": "boolean"},
    )
    return _operation("gallery", "What the gallery holds", answer)


def _images() -> Schema:
    answer = _object(count={"type": "integer", "minimum": 0}, images=_list("Image"))
    start: Schema = {"type": "integer", "minimum": 0, "maximum": 2**53, "default": 0}
    words = {"where": _WHERE, "start": start, "top": _TOP}
    parameters = [{"name": name, "in": "query", "schema": schema} for name, schema in words.items()]
    return _operation("images", "Images of the gallery", answer, parameters=parameters)


def _picture() -> Schema:
    found = _operation("picture", "The picture of a row", {})
    found["parameters"] = [{"name": "row", "in": "path", "required": True, "schema": _ROW}]
    found["responses"]["200"]["content"] = {"image/webp": {}}
    return found


def _health() -> Schema:
    found = _operation("health", "Whether all is compiled", _object(status=_TEXT))
    return found | {"security": []}


def _metrics() -> Schema:
    found = _operation("metrics", "Counts and times, in Prometheus' text format", {})
    found["responses"]["200"]["content"] = {"text/plain": {"schema": _TEXT}}
    return found


def _operation(
    name: str,
    summary: str,
    answer: Schema,
    body: Schema | None = None,
    parameters: list[Schema] | None = None,
) -> Schema:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    found: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": answer}}},
            "4XX": {"description": "The request is wrong", "content": error},
            "503": {"description": "Come again; see Retry-After", "content": error},
        },
    }
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"multipart/form-data": body}}
    return found if parameters is None else found | {"parameters": parameters}


def _form(**fields: Schema) -> Schema:
    """A query, which is an image or a row, and other fields."""
    schema: Schema = {
        "type": "object",
        "properties": {"image": _IMAGE, "row": _ROW, **fields},
        "oneOf": [{"required": ["image"]}, {"required": ["row"]}],
        "additionalProperties": False,
    }
    return {"schema": schema, "encoding": {"image": {"contentType": "image/*"}}}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(name: str) -> Schema:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


def _known() -> dict[str, Schema]:
    return {"row": _ROW, "path": _TEXT, "identity": _VALUE, "camera": _VALUE}
