"""JSON Schema of what every command prints with ``--json``: one branch for each command and kind of problem."""

from __future__ import annotations

from typing import Any

from optimizer.render.envelope import CHANGES, answer_schema, with_gpus
from optimizer.results.answer import SCHEMA_VERSION, Conflict, Metrics, ObjectiveResult, Repair, Strategy
from optimizer.results.front import ParetoFront
from optimizer.results.inventory import InventoryRepair
from optimizer.results.why import ChainWhyNot, InventoryHowSure, InventoryWhyNot, InventoryWhyThis
from optimizer.sweeps.points import Checked, InventoryFigures

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_YES: Schema = {"type": "boolean"}
_NULL: Schema = {"type": "null"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_VERDICT: Schema = {"enum": ["not allowed", "worse", "tie", "best", "no optimum"]}
_FIELDS: Schema = {"type": "object"}
_SHARED = (Strategy, Conflict, Metrics, ObjectiveResult, Repair, InventoryRepair, Checked, InventoryFigures)
"""Types that are described once."""


def command_schema() -> Schema:
    """JSON Schema (draft 2020-12) of what commands print: solve, check, why-not, why-this, how-sure, sweep (a line), recommend, pareto."""
    schema = answer_schema()
    defs: Schema = schema["$defs"]
    for of in _SHARED:
        _add(defs, of)
    with_gpus(defs)
    defs["Repair"]["properties"]["changes"] = CHANGES
    defs["InventoryRepair"]["properties"]["changes"] = CHANGES
    more = {
        "UniformWhyNot": _why_not(),
        "InventoryWhyNot": _of(defs, InventoryWhyNot, "inventory", decided_by=_NULL, flip=_NULL),
        "ChainWhyNot": _of(defs, ChainWhyNot, "chain"),
        "UniformWhyThis": _why_this(),
        "InventoryWhyThis": _of(
            defs, InventoryWhyThis, "inventory", strategy=_NULL, against={"type": "array", "maxItems": 0}
        ),
        "UniformHowSure": _how_sure(),
        "InventoryHowSure": _of(defs, InventoryHowSure, "inventory", strategy=_NULL),
        "SweepPoint": _point(),
        "Recommendation": _recommendation(),
        "ParetoFront": _front(defs),
    }
    defs.update(more)
    schema["title"] = "Answer of an optimizer command"
    schema["oneOf"] += [_ref(name) for name in more]
    return schema


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _or_null(one: Schema) -> Schema:
    return {"anyOf": [one, _NULL]}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _object(properties: Schema, optional: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(set(properties) - set(optional)),
        "additionalProperties": False,
    }


def _add(defs: Schema, of: type) -> Schema:
    """The schema of a typed result, what it refers to added to the definitions."""
    from pydantic import TypeAdapter

    found: Schema = TypeAdapter(of).json_schema(mode="serialization")
    for name, inner in found.pop("$defs", {}).items():
        defs.setdefault(name, inner)
    if "$ref" in found:
        return dict(defs[found["$ref"].rsplit("/", 1)[-1]])
    defs.setdefault(of.__name__, found)
    return found


def _headed(kind: str, properties: Schema, optional: tuple[str, ...] = ()) -> Schema:
    return _object({"schema_version": {"const": SCHEMA_VERSION}, "kind": {"const": kind}, **properties}, optional)


def _of(defs: Schema, of: type, kind: str, **more: Schema) -> Schema:
    """A typed result whose sentences are printed as ``explanation``."""
    properties = dict(_add(defs, of)["properties"])
    properties.pop("sentences")
    return _headed(kind, {**properties, "explanation": _TEXTS, **more})


def _why_not() -> Schema:
    flip = _object({"field": _TEXT, "from": {}, "to": {}, "not_yet": {}, "sentence": _TEXT})
    return _headed(
        "uniform",
        {
            "problem": _TEXT,
            "verdict": _VERDICT,
            "foil": _or_null(_ref("Strategy")),
            "optimum": _or_null(_ref("Strategy")),
            "difference_ms": _or_null(_NUMBER),
            "difference_terms": {"type": "object", "additionalProperties": _NUMBER},
            "decided_by": _or_null(_TEXT),
            "conflicts": _array(_ref("Conflict")),
            "repairs": _array(_ref("Repair")),
            "flip": _or_null(flip),
            "explanation": _TEXTS,
        },
    )


def _why_this() -> Schema:
    against = _object({"tier": _TEXT, "rules": _TEXTS, "sentence": _TEXT})
    worth = _object(
        {
            "words": _TEXT,
            "changes": _FIELDS,
            "strategy": _or_null(_ref("Strategy")),
            "objective_ms": _or_null(_NUMBER),
            "gain_ms": _or_null(_NUMBER),
            "gain_first": _or_null(_NUMBER),
            "first_unit": _or_null(_TEXT),
        }
    )
    return _headed(
        "uniform",
        {
            "problem": _TEXT,
            "strategy": _or_null(_ref("Strategy")),
            "objective_ms": _or_null(_NUMBER),
            "against": _array(against),
            "worths": _array(worth),
            "explanation": _TEXTS,
        },
    )


def _how_sure() -> Schema:
    switch = _object({"inside": _NUMBER, "outside": _NUMBER, "there": _or_null(_ref("Strategy"))})
    one = _object(
        {
            "field": _TEXT,
            "fact": _TEXT,
            "unit": _TEXT,
            "value": _NUMBER,
            "low": _NUMBER,
            "high": _NUMBER,
            "below": _or_null(switch),
            "above": _or_null(switch),
        }
    )
    return _headed(
        "uniform",
        {
            "problem": _TEXT,
            "label": _or_null(_TEXT),
            "strategy": _or_null(_ref("Strategy")),
            "ranges": _array(one),
            "explanation": _TEXTS,
        },
    )


def _point() -> Schema:
    """One line of a sweep; ``strategy`` there has its label and GPUs in front."""
    return _object(
        {
            "index": _WHOLE,
            "name": _TEXT,
            "values": _FIELDS,
            "gpus": _or_null(_WHOLE),
            "status": {"enum": ["optimal", "feasible", "infeasible", "unknown", "error"]},
            "strategy": {"type": ["object", "null"]},
            "metrics": _or_null(_ref("Metrics")),
            "objective": _or_null(_ref("ObjectiveResult")),
            "preset": _TEXT,
            "price_per_hour": _or_null(_NUMBER),
            "price_per_million_output_tokens": _or_null(_NUMBER),
            "binding": _TEXTS,
            "conflict": _TEXTS,
            "said": _TEXT,
            "error": _or_null(_TEXT),
            "verification": _or_null(_ref("Checked")),
            "search_limits": _TEXTS,
            "inventory": _or_null(_ref("InventoryFigures")),
        },
        optional=("inventory",),
    )


def _recommendation() -> Schema:
    return _object(
        {
            "schema_version": {"const": SCHEMA_VERSION},
            "kind": {"enum": ["uniform", "inventory"]},
            "least": {"enum": ["gpus", "price"]},
            "cost": _or_null(_NUMBER),
            "point": _or_null(_ref("SweepPoint")),
            "below": _array(_ref("SweepPoint")),
            "considered": _WHOLE,
            "ruled_out": _WHOLE,
            "verified": _YES,
            "proved": _YES,
            "by_bound": _WHOLE,
            "tried": _WHOLE,
            "ties": _WHOLE,
        }
    )


def _front(defs: Schema) -> Schema:
    properties = dict(_add(defs, ParetoFront)["properties"])
    defs["FrontPoint"]["properties"]["strategy"] = {"anyOf": [_ref("Strategy"), _TEXT]}
    return _object({"schema_version": {"const": SCHEMA_VERSION}, **properties})
