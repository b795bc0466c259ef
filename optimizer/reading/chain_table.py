"""``--costs table`` of a chain problem: tokens/s by type and layers from a file, in place of the problem file's tables.

The file is a CSV with the columns ``type``, ``layers``, ``tokens_per_s`` and, where wanted, ``time_ms``, one row per type
and number of layers; or a YAML or JSON mapping from type to its table (tokens/s by layers).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.text import visible
from optimizer.reading.files import read_csv, read_mapping

COLUMNS = ("type", "layers", "tokens_per_s")
THROUGHPUT, TIME, MOST = "throughput_tokens_per_s_by_layers", "time_ms_by_layers", "max_layers"

Tables = dict[str, dict[str, dict[int, float]]]
"""By type: the fields of ``cluster.types`` that the file states."""


def with_tables(values: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The contents of a chain problem file with the tables of another file; types the file leaves out keep their own.

    Raises:
        ProblemError: the file cannot be read, or speaks of a type that the problem does not have.
    """
    cluster = values.get("cluster")
    types = cluster.get("types") if isinstance(cluster, Mapping) else None
    if not isinstance(cluster, Mapping) or not isinstance(types, Mapping):
        raise ProblemError("cluster.types", "a mapping from type to its facts is needed")
    found = read_tables(path)
    merged = {str(name): dict(kind) if isinstance(kind, Mapping) else {} for name, kind in types.items()}
    for name, tables in found.items():
        if name not in merged:
            raise ProblemError(str(path), f"speaks of type {name!r}, which is no type here; {closest(name, merged)}")
        stated = merged[name].get(MOST)
        most = stated if isinstance(stated, int) else None
        merged[name].pop(TIME, None)
        for field, table in tables.items():
            merged[name][field] = {n: value for n, value in table.items() if most is None or n <= most}
    kept = [name for name in merged if name not in found]
    own = f"; {', '.join(kept)}: the problem file's own tables" if kept else ""
    # What was published was published for the instance with its own tables.
    rest = {key: value for key, value in values.items() if key != "published"}
    return {
        **rest,
        "cluster": {**cluster, "types": merged},
        "costs_source": f"tokens/s of {', '.join(found)} from {visible(path.name)}{own}",
    }


def read_tables(path: Path) -> Tables:
    """The tables of a file.

    Raises:
        ProblemError: the file cannot be read, or a row is no entry of a table.
    """
    if path.suffix.lower() in {".yaml", ".yml", ".json"}:
        return {str(name): _mapped(table, f"{path}: {name}") for name, table in read_mapping(path, str(path)).items()}
    columns, rows = read_csv(path, str(path))
    missing = [name for name in COLUMNS if name not in columns]
    if missing or not rows:
        what = f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}" if missing else "has no rows"
        raise ProblemError(str(path), f"{what}; a row per type and layers with {', '.join(COLUMNS)} is needed")
    found: Tables = {}
    for number, row in enumerate(rows, start=2):
        field = f"{path} line {number}"
        layers = _number(row["layers"], f"{field}: layers")
        if layers != int(layers) or layers < 1:
            raise ProblemError(f"{field}: layers", f"{row['layers']!r} is not a whole number >= 1")
        tables = found.setdefault((row["type"] or "").strip(), {})
        for column, name in (("tokens_per_s", THROUGHPUT), ("time_ms", TIME)):
            text = (row.get(column) or "").strip()
            if not text and column == "time_ms":
                continue
            table = tables.setdefault(name, {})
            if int(layers) in table:
                raise ProblemError(
                    field, f"states {row['type']} with {int(layers)} layers a second time; once is enough"
                )
            table[int(layers)] = _number(text, f"{field}: {column}")
    return found


def _mapped(table: Any, field: str) -> dict[str, dict[int, float]]:
    inner = table.get(THROUGHPUT, table) if isinstance(table, Mapping) else None
    if not isinstance(inner, Mapping) or not inner:
        raise ProblemError(field, "a mapping from layers to tokens/s is needed")
    try:
        found = {THROUGHPUT: {int(n): _number(value, f"{field}[{n}]") for n, value in inner.items()}}
        times = table.get(TIME)
        if isinstance(times, Mapping):
            found[TIME] = {int(n): _number(value, f"{field}.{TIME}[{n}]") for n, value in times.items()}
    except ProblemError:
        raise
    except (TypeError, ValueError):
        raise ProblemError(field, "has a key that is no whole number of layers") from None
    return found


def _number(stated: Any, field: str) -> float:
    try:
        return float(stated)
    except (TypeError, ValueError):
        raise ProblemError(field, f"{stated!r} is not a number") from None
