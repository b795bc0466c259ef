"""The one JSON envelope of ``solve`` and ``check`` for every kind of problem, and its JSON Schema.

Every answer has ``CORE``; what a kind adds stands beside it. Where a core field has no meaning for a kind it is null or empty,
never missing, so that a program reads all kinds alike.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.kinds import name_of

if TYPE_CHECKING:
    from optimizer.results.kinds import AnyAnswer

CORE = (
    "schema_version",
    "kind",
    "problem",
    "status",
    "strategy",
    "placement",
    "objective",
    "metrics",
    "rules",
    "conflicts",
    "repairs",
    "verification",
    "explanation",
    "search_limits",
    "cost_source",
    "feasible",
    "optimum",
)


_DATA = {
    "Answer": ("as_json", "answer_data"),
    "CheckAnswer": ("as_json", "answer_data"),
    "InventoryAnswer": ("inventory", "inventory_data"),
    "PoolsAnswer": ("pools", "pools_data"),
    "ClusterPoolsAnswer": ("cluster_pools", "cluster_pools_data"),
    "DayAnswer": ("day", "day_data"),
    "ClusterDayAnswer": ("cluster_day", "cluster_day_data"),
    "SeveralAnswer": ("several", "several_data"),
    "ClusterModelsAnswer": ("cluster_models", "cluster_models_data"),
    "ChainAnswer": ("chain", "chain_data"),
    "SideBySideAnswer": ("side_by_side", "side_by_side_data"),
    "ClusterSideBySideAnswer": ("cluster_side_by_side", "cluster_side_by_side_data"),
}
"""Which room says what is in an answer, and by which function."""
BESIDE = {
    "SideBySideAnswer": ("UniformAnswer", "PoolsAnswer"),
    "ClusterSideBySideAnswer": ("InventoryAnswer", "ClusterPoolsAnswer"),
}
"""Answers of two parts, and the kinds of these."""


def envelope(answer: AnyAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data, the core first."""
    module, name = _DATA[name_of(answer)]
    data = getattr(import_module(f"optimizer.render.{module}"), name)(answer)
    return {**{name: data[name] for name in CORE}, **data}


def answer_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the envelope: one branch for each kind, derived from the typed results."""
    from pydantic import TypeAdapter

    from optimizer.results.answer import CheckAnswer
    from optimizer.results.chain import ChainAnswer
    from optimizer.results.cluster_day import ClusterDayAnswer
    from optimizer.results.cluster_models import ClusterModelsAnswer
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
    from optimizer.results.day import DayAnswer
    from optimizer.results.inventory import InventoryAnswer
    from optimizer.results.pools import PoolsAnswer
    from optimizer.results.several import SeveralAnswer
    from optimizer.results.side_by_side import SideBySideAnswer

    schemas: dict[str, Any] = {}
    branches = []
    for name, of, adapt in (
        ("UniformAnswer", CheckAnswer, _uniform),
        ("InventoryAnswer", InventoryAnswer, _inventory),
        ("ChainAnswer", ChainAnswer, _chain),
        ("PoolsAnswer", PoolsAnswer, _pools),
        ("ClusterPoolsAnswer", ClusterPoolsAnswer, _cluster_pools),
        ("ModelsAnswer", SeveralAnswer, _several),
        ("ClusterModelsAnswer", ClusterModelsAnswer, _cluster_models),
        ("DayAnswer", DayAnswer, _day),
        ("ClusterDayAnswer", ClusterDayAnswer, _cluster_day),
        ("SideBySideAnswer", SideBySideAnswer, _side_by_side),
        ("ClusterSideBySideAnswer", ClusterSideBySideAnswer, _cluster_side_by_side),
    ):
        found = TypeAdapter(of).json_schema(mode="serialization")
        inner = found.pop("$defs", {})
        if "$ref" in found:
            found = inner.pop(found["$ref"].rsplit("/", 1)[-1])
        properties = found["properties"]
        adapt(properties, inner)
        _core(properties, name)
        if name in BESIDE:
            kinds = (*BESIDE[name], name)
            properties["optimum"] = {"anyOf": [*({"$ref": f"#/$defs/{one}"} for one in kinds), {"type": "null"}]}
        schemas[name] = {
            "type": "object",
            "description": found.get("description", ""),
            "properties": properties,
            "required": sorted(properties),
            "additionalProperties": False,
        }
        for key, value in inner.items():
            if key not in (of.__name__, "Answer"):
                schemas.setdefault(key, value)
        branches.append({"$ref": f"#/$defs/{name}"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answer of optimizer solve and optimizer check",
        "oneOf": branches,
        "$defs": schemas,
    }


def _core(properties: dict[str, Any], name: str) -> None:
    """What every kind has in the same words."""
    kind = {
        "ClusterPoolsAnswer": "cluster_pools",
        "ClusterModelsAnswer": "cluster_models",
        "ClusterDayAnswer": "cluster_day",
        "SideBySideAnswer": "side_by_side",
        "ClusterSideBySideAnswer": "cluster_side_by_side",
    }.get(name, name.removesuffix("Answer").lower())
    properties["schema_version"] = {"const": SCHEMA_VERSION}
    properties["kind"] = {"const": kind}
    properties["optimum"] = {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}
    properties.setdefault("feasible", {"type": ["boolean", "null"]})
    properties.setdefault("strategy", {"type": "null"})
    properties.setdefault("placement", {"type": "null"})
    properties.setdefault("cost_source", {"type": "string"})
    for empty in ("rules", "conflicts", "repairs"):
        properties.setdefault(empty, {"type": "array", "maxItems": 0})


CHANGES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"field": {"type": "string"}, "from": {}, "to": {}},
        "required": ["field", "from", "to"],
        "additionalProperties": False,
    },
}


def with_gpus(inner: dict[str, Any]) -> None:
    """What a printed strategy has beside its decisions."""
    strategy = inner["Strategy"]
    strategy["properties"]["gpus"] = {"type": "integer", "description": "GPUs in use: TP x PP x DP"}


def _uniform(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    with_gpus(inner)
    inner["Repair"]["properties"]["changes"] = CHANGES


def _inventory(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    from optimizer.render.inventory import FIGURES

    inner["InventoryRepair"]["properties"]["changes"] = CHANGES
    for name in FIGURES:
        properties.pop(name)
    figures = {key: {"type": ["number", "null"]} for key in (*FIGURES, "availability", "max_request_rate")}
    properties["metrics"] = {
        "type": "object",
        "properties": figures,
        "required": sorted(figures),
        "additionalProperties": False,
    }
    properties["label"] = {"type": "string"}
    placed = {
        "name": {"type": "string"},
        "pool": {"type": "integer"},
        "share": {"type": "number"},
        "nodes": {"type": "array", "items": {"type": "string"}},
        "gpus": {"type": "array", "items": {"type": "string"}},
    }
    properties["placement"] = {
        "anyOf": [
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": placed,
                    "required": sorted(placed),
                    "additionalProperties": False,
                },
            },
            {"type": "null"},
        ]
    }


def _pools(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    for name in ("PoolStrategy", "PoolsStrategy"):
        inner[name]["properties"]["gpus"] = {"type": "integer", "description": "GPUs in use"}
    inner["PoolsRepair"]["properties"]["changes"] = CHANGES
    properties["label"] = {"type": "string"}


def _side_by_side(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    _both_parts(properties, inner, "SideBySideAnswer")


def _cluster_side_by_side(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    _both_parts(properties, inner, "ClusterSideBySideAnswer")


def _both_parts(properties: dict[str, Any], inner: dict[str, Any], name: str) -> None:
    for key in inner.keys() - {"SideBySideMetrics", "GroupDivided"}:
        inner.pop(key)  # described where either part is an answer by itself
    joint, pools = BESIDE[name]
    properties |= {"joint": {"$ref": f"#/$defs/{joint}"}, "pools": {"$ref": f"#/$defs/{pools}"}}
    properties |= {"label": {"type": "string"}, "gpus": {"type": "integer", "description": "GPUs in use"}}


def _cluster_pools(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    for name in ("PoolStrategy", "ClusterPoolsStrategy"):
        inner[name]["properties"]["gpus"] = {"type": "integer", "description": "GPUs in use"}
    inner["PoolsRepair"]["properties"]["changes"] = CHANGES
    properties["label"] = {"type": "string"}


def _day(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    with_gpus(inner)
    inner["DayRepair"]["properties"]["changes"] = CHANGES
    properties |= {name: {"type": "null"} for name in ("strategy", "objective", "metrics")}
    properties["label"] = {"type": "string"}


def _cluster_day(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    inner["DayRepair"]["properties"]["changes"] = CHANGES
    properties |= {name: {"type": "null"} for name in ("strategy", "objective", "metrics")}
    properties["label"] = {"type": "string"}


def _several(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    from optimizer.render.several import FIGURES

    share = inner["ServedShare"]
    with_gpus(inner)
    share["properties"]["label"] = {"type": "string"}
    inner["SeveralRepair"]["properties"]["changes"] = CHANGES
    properties["label"] = {"type": "string"}
    figures = {name: {"type": ["number", "null"]} for name in FIGURES}
    together = {"type": "object", "properties": figures, "required": sorted(figures), "additionalProperties": False}
    properties["metrics"] = {"anyOf": [together, {"type": "null"}]}


def _cluster_models(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    from optimizer.render.several import FIGURES

    properties.pop("price_per_hour")
    inner["InventoryShare"]["properties"]["label"] = {"type": "string"}
    inner["SeveralRepair"]["properties"]["changes"] = CHANGES
    properties["label"] = {"type": "string"}
    figures = {name: {"type": ["number", "null"]} for name in FIGURES}
    together = {"type": "object", "properties": figures, "required": sorted(figures), "additionalProperties": False}
    properties["metrics"] = {"anyOf": [together, {"type": "null"}]}


def _chain(properties: dict[str, Any], inner: dict[str, Any]) -> None:
    properties["instances"] = {"anyOf": [{"$ref": "#/$defs/InventoryAnswer"}, {"type": "null"}]}
    for name in ("value", "bound", "gap"):
        properties.pop(name)
    numbers = {name: {"type": "number"} for name in ("tokens_per_s", "bound_tokens_per_s")}
    properties["metrics"] = {
        "type": "object",
        "properties": numbers,
        "required": sorted(numbers),
        "additionalProperties": False,
    }
    value = {
        "value": {"type": "number"},
        "bound": {"type": "number"},
        "gap": {"type": ["number", "null"]},
        "unit": {"const": "tokens/s"},
        "terms": {"type": "object"},
    }
    objective = {"type": "object", "properties": value, "required": sorted(value), "additionalProperties": False}
    properties["objective"] = {"anyOf": [objective, {"type": "null"}]}
