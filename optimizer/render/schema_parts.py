"""Pieces that JSON Schemas are made of: words for types, and objects that take nothing else."""

from __future__ import annotations

from typing import Any

from optimizer.results.answer import SCHEMA_VERSION

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
YES: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
FIELDS: Schema = {"type": "object"}
TEXTS: Schema = {"type": "array", "items": TEXT}


def ref(name: str) -> Schema:
    """What a definition says."""
    return {"$ref": f"#/$defs/{name}"}


def or_null(one: Schema) -> Schema:
    """That, or null."""
    return {"anyOf": [one, NULL]}


def array(items: Schema) -> Schema:
    """A list of such items."""
    return {"type": "array", "items": items}


def mapping(values: Schema) -> Schema:
    """An object whose keys are names and whose values are such."""
    return {"type": "object", "additionalProperties": values}


def closed(properties: Schema, optional: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(set(properties) - set(optional)),
        "additionalProperties": False,
    }


def headed(kind: str, properties: Schema, optional: tuple[str, ...] = ()) -> Schema:
    """An object that says its version and its kind."""
    return closed({"schema_version": {"const": SCHEMA_VERSION}, "kind": {"const": kind}, **properties}, optional)


def add_type(defs: Schema, of: type) -> Schema:
    """The schema of a typed result, what it refers to added to the definitions."""
    from pydantic import TypeAdapter

    found: Schema = TypeAdapter(of).json_schema(mode="serialization")
    for name, inner in found.pop("$defs", {}).items():
        defs.setdefault(name, inner)
    if "$ref" in found:
        return dict(defs[found["$ref"].rsplit("/", 1)[-1]])
    defs.setdefault(of.__name__, found)
    return found
