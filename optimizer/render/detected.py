"""Detected hardware as YAML to paste into a problem file, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from optimizer.detect.inventory import Detected
from optimizer.writing.yaml_text import comment, yaml_text


def yaml_lines(found: Detected) -> Iterator[str]:
    """Comments first, then the section."""
    yield "# Detected hardware: put this into a problem file beside model, workload and requirements.\n"
    for remark in found.remarks:
        yield comment(" ".join(remark.split()))
    for line in yaml_text(found.values, width=120).splitlines(keepends=True):
        name = line.strip().removesuffix(": null")
        known = found.hints.get(name) if line.rstrip().endswith(": null") else None
        yield line if known is None else f"{line.rstrip()}  # to complete; {known}\n"


def detected_data(found: Detected) -> dict[str, Any]:
    """The section beside the remarks."""
    return {"schema_version": "1.0", "problem": found.values, "remarks": list(found.remarks)}


def json_lines(found: Detected) -> Iterator[str]:
    """One JSON object."""
    yield json.dumps(detected_data(found), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
