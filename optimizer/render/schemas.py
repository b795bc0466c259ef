"""JSON Schema of what every command prints with ``--json``: one branch for each command and kind of problem."""

from __future__ import annotations

from optimizer.render.envelope import CHANGES, answer_schema, with_gpus
from optimizer.render.graph_schema import graph_schema
from optimizer.render.schema_parts import (
    FIELDS,
    NULL,
    NUMBER,
    TEXT,
    TEXTS,
    WHOLE,
    YES,
    Schema,
    add_type,
    array,
    closed,
    headed,
    or_null,
    ref,
)
from optimizer.results.answer import SCHEMA_VERSION, Conflict, Metrics, ObjectiveResult, Repair, Strategy
from optimizer.results.audit import VERDICTS, Claim, Parsed
from optimizer.results.front import ParetoFront
from optimizer.results.inventory import InventoryRepair
from optimizer.results.pools_why import PoolsHowSure, PoolsWhyNot, PoolsWhyThis
from optimizer.results.why import ChainWhyNot, InventoryHowSure, InventoryWhyNot, InventoryWhyThis
from optimizer.sweeps.points import BesideAt, Checked, InventoryFigures, PoolsAt

_VERDICT: Schema = {"enum": ["not allowed", "worse", "tie", "best", "no optimum"]}
_SHARED = (
    Strategy,
    Conflict,
    Metrics,
    ObjectiveResult,
    Repair,
    InventoryRepair,
    Checked,
    InventoryFigures,
    PoolsAt,
    BesideAt,
)
"""Types that are described once."""


def command_schema() -> Schema:
    """JSON Schema (draft 2020-12) of what commands print: solve, check, why-not, why-this, how-sure, sweep (a line), recommend,
    pareto, fit, compare, audit, model, and graph with ``--format json``.
    """
    schema = answer_schema()
    defs: Schema = schema["$defs"]
    for of in _SHARED:
        add_type(defs, of)
    with_gpus(defs)
    defs["Repair"]["properties"]["changes"] = CHANGES
    for name in ("InventoryRepair", "PoolsRepair"):
        defs[name]["properties"]["changes"] = CHANGES
    more = {
        "UniformWhyNot": _why_not(),
        "InventoryWhyNot": _of(defs, InventoryWhyNot, "inventory", decided_by=NULL, flip=NULL),
        "PoolsWhyNot": _of_pools(defs, PoolsWhyNot),
        "ChainWhyNot": _of(defs, ChainWhyNot, "chain"),
        "UniformWhyThis": _why_this(),
        "InventoryWhyThis": _of(
            defs, InventoryWhyThis, "inventory", strategy=NULL, against={"type": "array", "maxItems": 0}
        ),
        "PoolsWhyThis": _of_pools(defs, PoolsWhyThis),
        "PoolsHowSure": _of_pools(defs, PoolsHowSure, strategy=NULL),
        "UniformHowSure": _how_sure(),
        "InventoryHowSure": _of(defs, InventoryHowSure, "inventory", strategy=NULL),
        "SweepPoint": _point(),
        "Recommendation": _recommendation(),
        "ParetoFront": _front(defs),
        "Fit": _fit(),
        "Comparison": _comparison(),
        "Audit": _audit(defs),
        "Model": _model(),
        "Graph": graph_schema(defs),
    }
    defs.update(more)
    schema["title"] = "Answer of an optimizer command"
    schema["oneOf"] += [ref(name) for name in more]
    return schema


def _of(defs: Schema, of: type, kind: str, **more: Schema) -> Schema:
    """A typed result whose sentences are printed as ``explanation``."""
    properties = dict(add_type(defs, of)["properties"])
    properties.pop("sentences")
    return headed(kind, {**properties, "explanation": TEXTS, **more})


def _of_pools(defs: Schema, of: type, **more: Schema) -> Schema:
    """The same of pools, on equal nodes or on an inventory."""
    properties = dict(add_type(defs, of)["properties"])
    for name in ("sentences", "kind"):
        properties.pop(name)
    kind = {"enum": ["pools", "cluster_pools"]}
    head = {"schema_version": {"const": SCHEMA_VERSION}, "kind": kind}
    return closed({**head, **properties, "explanation": TEXTS, **more})


def _why_not() -> Schema:
    flip = closed({"field": TEXT, "from": {}, "to": {}, "not_yet": {}, "sentence": TEXT})
    return headed(
        "uniform",
        {
            "problem": TEXT,
            "verdict": _VERDICT,
            "foil": or_null(ref("Strategy")),
            "optimum": or_null(ref("Strategy")),
            "difference_ms": or_null(NUMBER),
            "difference_terms": {"type": "object", "additionalProperties": NUMBER},
            "decided_by": or_null(TEXT),
            "conflicts": array(ref("Conflict")),
            "repairs": array(ref("Repair")),
            "flip": or_null(flip),
            "explanation": TEXTS,
            "verification": or_null(ref("Verification")),
        },
    )


def _why_this() -> Schema:
    against = closed({"tier": TEXT, "rules": TEXTS, "sentence": TEXT})
    worth = closed(
        {
            "words": TEXT,
            "changes": FIELDS,
            "strategy": or_null(ref("Strategy")),
            "objective_ms": or_null(NUMBER),
            "gain_ms": or_null(NUMBER),
            "gain_first": or_null(NUMBER),
            "first_unit": or_null(TEXT),
        }
    )
    return headed(
        "uniform",
        {
            "problem": TEXT,
            "strategy": or_null(ref("Strategy")),
            "objective_ms": or_null(NUMBER),
            "against": array(against),
            "worths": array(worth),
            "explanation": TEXTS,
            "verification": or_null(ref("Verification")),
        },
    )


def _how_sure() -> Schema:
    switch = closed({"inside": NUMBER, "outside": NUMBER, "there": or_null(ref("Strategy"))})
    one = closed(
        {
            "field": TEXT,
            "fact": TEXT,
            "unit": TEXT,
            "value": NUMBER,
            "low": NUMBER,
            "high": NUMBER,
            "below": or_null(switch),
            "above": or_null(switch),
        }
    )
    return headed(
        "uniform",
        {
            "problem": TEXT,
            "label": or_null(TEXT),
            "strategy": or_null(ref("Strategy")),
            "ranges": array(one),
            "explanation": TEXTS,
            "verification": or_null(ref("Verification")),
        },
    )


def _model() -> Schema:
    """What is read of a checkpoint: counts, bytes, and what the engine may divide."""
    counts = {"type": "object", "additionalProperties": WHOLE}
    return closed(
        {
            "name": TEXT,
            "huggingface_id": or_null(TEXT),
            "architecture": TEXT,
            "parameters": WHOLE,
            "active_parameters": WHOLE,
            "components": counts,
            "weight_bytes": WHOLE,
            "weight_format": TEXT,
            "weight_bytes_in": counts,
            "kv_bytes_per_token": closed({"full": WHOLE, "window": WHOLE, "shared": WHOLE, "format": TEXT}),
            "state_bytes_per_sequence": WHOLE,
            "vision_parameters": WHOLE,
            "mtp_parameters": WHOLE,
            "quantization": or_null(FIELDS),
            "legal_tensor_parallel": array(WHOLE),
            "legal_expert_parallel": array(WHOLE),
            "max_context_tokens": WHOLE,
            "tied_embeddings": YES,
            "layers": array(closed({"layers": WHOLE, "type": TEXT})),
            "notes": TEXTS,
        }
    )


def _point() -> Schema:
    """One line of a sweep; ``strategy`` there has its label and GPUs in front."""
    return closed(
        {
            "index": WHOLE,
            "name": TEXT,
            "values": FIELDS,
            "gpus": or_null(WHOLE),
            "status": {"enum": ["optimal", "feasible", "infeasible", "unknown", "error"]},
            "strategy": {"type": ["object", "null"]},
            "metrics": or_null(ref("Metrics")),
            "objective": or_null(ref("ObjectiveResult")),
            "preset": TEXT,
            "price_per_hour": or_null(NUMBER),
            "price_per_million_output_tokens": or_null(NUMBER),
            "binding": TEXTS,
            "conflict": TEXTS,
            "said": TEXT,
            "error": or_null(TEXT),
            "verification": or_null(ref("Checked")),
            "search_limits": TEXTS,
            "inventory": or_null(ref("InventoryFigures")),
            "disaggregated": or_null(ref("PoolsAt")),
            "side_by_side": or_null(ref("BesideAt")),
        },
        optional=("inventory", "disaggregated", "side_by_side"),
    )


def _recommendation() -> Schema:
    return closed(
        {
            "schema_version": {"const": SCHEMA_VERSION},
            "kind": {"enum": ["uniform", "inventory", "pools", "side_by_side"]},
            "least": {"enum": ["gpus", "price"]},
            "cost": or_null(NUMBER),
            "point": or_null(ref("SweepPoint")),
            "below": array(ref("SweepPoint")),
            "considered": WHOLE,
            "ruled_out": WHOLE,
            "verified": YES,
            "proved": YES,
            "by_bound": WHOLE,
            "tried": WHOLE,
            "ties": WHOLE,
        }
    )


def _front(defs: Schema) -> Schema:
    properties = dict(add_type(defs, ParetoFront)["properties"])
    defs["FrontPoint"]["properties"]["strategy"] = {"anyOf": [ref("Strategy"), TEXT]}
    kind = {"enum": ["uniform", "inventory"]}
    return closed({"schema_version": {"const": SCHEMA_VERSION}, "kind": kind, **properties})


def _fit() -> Schema:
    model = closed(
        {
            "model": TEXT,
            "parameters": WHOLE,
            "weight_format": TEXT,
            "published_format": YES,
            "fits": YES,
            "left_bytes": or_null(WHOLE),
            "tokens_per_s_of_a_user": or_null(NUMBER),
            "point": ref("SweepPoint"),
        }
    )
    return headed("fit", {"models": array(model)})


def _comparison() -> Schema:
    one = closed(
        {
            "gpu": TEXT,
            "enough": YES,
            "point": or_null(ref("SweepPoint")),
            "price_per_month": or_null(NUMBER),
            "price_per_user_and_month": or_null(NUMBER),
            "kilowatts_at_most": or_null(NUMBER),
            "headroom": or_null(NUMBER),
            "intervals": FIELDS,
            "taken_from_the_catalog": TEXTS,
            "not_enough": array(ref("SweepPoint")),
            "verified": YES,
        }
    )
    return headed("comparison", {"types": array(one)})


def _audit(defs: Schema) -> Schema:
    """A claim has how it was read beside it, null where it is no figure of something."""
    claim = dict(add_type(defs, Claim)["properties"])
    claim.pop("parsed")
    claim |= {name: or_null(of) for name, of in add_type(defs, Parsed)["properties"].items()}
    return headed(
        "audit",
        {
            "problem": TEXT,
            "strategy": or_null(TEXT),
            "counts": closed({str(verdict): WHOLE for verdict in VERDICTS}),
            "claims": array(closed(claim)),
            "unrecognised": WHOLE,
            "unrecognised_lines": array(closed({"line": WHOLE, "text": TEXT})),
        },
    )
