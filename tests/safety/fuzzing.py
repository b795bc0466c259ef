"""Documents that no person would write, from recorded seeds: built after the schema, or mutated from ones that are right."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

from optimizer.writing.yaml_text import yaml_text
from tests.safety import hostile

KINDS = ("uniform", "inventory", "chain")
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 0.0, -0.0, 1e-300, 1e308, float("inf"), float("nan"), 0.1, "", " ", "a",
    "yes", "010", "1:30", "1e3", "~", "null", "\x00", "\x1b[31m", "\ud800", "a" * 5000, "../..", "/dev/zero", "~nobody/x", "$(x)",
    [], [[]], [None], ["a", 1], {}, {"": 1}, {"a": {"b": {"c": []}}}, [1] * 50, "llama3-8b", "h100-sxm-80gb", "config.json",
    "🦙", "<b>", "{{x}}", "-1", ".5", "1_000",
)  # fmt: skip
"""Values that stand where others are expected."""
MARKS = (b"&a ", b"*a ", b"<<: ", b"!!x ", b"- ", b"? ", b"\t", b"'", b'"', b"|\n", b"{", b"]", b"#")
"""What means something to a reader of YAML or JSON."""


def base(kind: str) -> dict[str, Any]:
    """A document that is right."""
    values = copy.deepcopy({"uniform": hostile.uniform, "inventory": hostile.inventory, "chain": hostile.chain}[kind]())
    if kind == "inventory":
        values["domains"] = {"feed": {"a": ["one"], "b": ["two"]}}
        values["requirements"]["survive"] = {"node": 1, "demand_share": 0.5}
        values["failures"] = {"gpu_mtbf_hours": {"value": 5e4, "low": 4e4, "high": 6e4}, "repair_hours": 3}
    if kind == "chain":
        values["cluster"]["links"] = [{"src": "n0", "dst": "n1", "tokens_per_s": 50}]
        values["cluster"]["coordinator"] = {"latency_ms": 1}
        values["requirements"] = {"max_stages": 4}
    if kind == "uniform":
        values["hardware"]["failures"] = {"gpu_mtbf_hours": 5e4}
        values["objective"] = {"preset": "balanced", "gpu_ms": 1}
        values["requirements"] |= {"ttft_p99_ms": 2000, "survive": {"node": 1}}
    return values


def places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, from the outside in."""
    found = [path] if path else []
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        found += places(value, (*path, key))
    return found


def mutated(kind: str, seed: int) -> dict[str, Any]:
    """A right document with a few changes: values, keys, kinds and sizes that are not what they should be."""
    rng = random.Random(f"{kind} {seed}")
    values = base(kind)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = rng.choice(places(values))
        holder = values
        for part in path[:-1]:
            holder = holder[part]
        key, how = path[-1], rng.randrange(8)
        if how <= 2:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif how == 3 and isinstance(holder, dict):
            del holder[key]
        elif how == 4 and isinstance(holder, dict):
            holder[rng.choice((f"{key}x", str(key)[:-1], str(key).upper(), *map(str, ODD[:20])))] = holder.pop(key)
        elif how == 5 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = rng.choice(
                (-holder[key], holder[key] * 10**6, holder[key] / 1e6, str(holder[key]), holder[key] + 0.5)
            )
        elif how == 6:
            holder[key] = [holder[key]] * rng.choice((1, 2, 12))
        else:
            other = rng.choice(places(base(rng.choice(KINDS))))
            source: Any = base(kind)
            for part in other:
                source = source[part] if isinstance(source, dict) and part in source else 1
            holder[key] = source
        if not values or not places(values):
            break
    return values


def drawn(kind: str, schema: dict[str, Any], seed: int) -> dict[str, Any]:
    """A document drawn from a JSON Schema: mostly of the right kinds, at the edges of their ranges and beyond."""
    rng = random.Random(f"schema {kind} {seed}")
    found = _drawn(schema, schema, rng, 0)
    assert isinstance(found, dict)
    if kind == "chain":
        found["kind"] = "chain"
    # What decides whether anything else is looked at is right more often than not.
    for key, value in base(kind).items():
        if key not in found or rng.random() < 0.5:
            found[key] = value
    return found


def _drawn(schema: dict[str, Any], root: dict[str, Any], rng: random.Random, depth: int) -> Any:
    if depth and rng.random() < 0.02:
        return copy.deepcopy(rng.choice(ODD))
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _drawn(rng.choice(schema[several]), root, rng, depth)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        needed = set(schema.get("required", ()))
        chosen = [name for name in properties if name in needed or rng.random() < 0.4 / (1 + depth / 3)]
        found = {name: _drawn(properties[name], root, rng, depth + 1) for name in chosen}
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and depth < 6:
            found |= {
                rng.choice(("a", "b", "1", "2", "node")): _drawn(more, root, rng, depth + 1)
                for _ in range(rng.randrange(3))
            }
        return found
    if kind == "array":
        item = schema.get("items", (schema.get("prefixItems") or [{}])[0])
        return [_drawn(item, root, rng, depth + 1) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", schema.get("exclusiveMinimum", -10)), schema.get("maximum", 10**6)
        number = rng.choice(
            (low, high, low + 1, rng.uniform(low, min(high, low + 100)), rng.uniform(low, high), high + 1, low - 1)
        )
        return int(number) if kind == "integer" else number
    return {
        "string": rng.choice(("a", "b", "one", "t", "n0", "llama3-8b", "h100-sxm-80gb", *hostile.SEEN.values())),
        "boolean": True,
    }.get(str(kind))


def written(values: dict[str, Any], seed: int) -> tuple[str, bytes]:
    """A file's name and bytes: JSON or YAML, now and then with bytes changed, doubled or lost."""
    rng = random.Random(f"bytes {seed}")
    if seed % 2:
        name, content = "p.json", json.dumps(values).encode()
    else:
        text = yaml_text(values).encode("utf-8", "backslashreplace")
        name, content = "p.yaml", text
    if rng.random() < 0.3 and content:
        at, upto = sorted(rng.randrange(len(content)) for _ in range(2))
        piece = content[at : min(upto, at + 60)]
        before, after = content[:at], content[at:]
        noise = bytes(rng.randrange(256) for _ in range(3))
        content = rng.choice(
            (
                before + noise + after,
                before + after[len(piece) :],
                before + piece * 3 + after,
                before,
                before + rng.choice(MARKS) + after,
            )
        )
    return name, content
