"""Constants fitted to a person's runs: as the file that ``--constants`` reads, as data, and in words."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from optimizer.facts.text import visible
from optimizer.questions.calibrate import Calibrated

NAMES = {"tpot": "time per output token", "ttft": "time to first token"}


def calibrated_yaml(found: Calibrated, source: str) -> str:
    """The file of ``--out``."""
    lines = [
        f"# Constants of the cost model fitted to {found.runs} runs by optimizer calibrate; for --constants.",
        f"basis: {json.dumps(f'{found.runs} runs of {visible(source)}', ensure_ascii=False)}",
        "values:",
        *(f"  {name}: {value:.4g}" for name, value in found.values.items()),
        "closed_loop:",
    ]
    for name, engine in found.engines.items():
        parts = ", ".join(f"{part}: {value:.4g}" for part, value in engine.model_dump().items())
        lines.append(f"  {name or 'other'}: {{{parts}}}")
    return "\n".join(lines) + "\n"


def calibrated_data(found: Calibrated, refused: dict[str, int]) -> dict[str, Any]:
    """Everything as plain data."""
    return {**asdict(found), "engines": {k: v.model_dump() for k, v in found.engines.items()}, "refused": refused}


def calibrated_text(found: Calibrated, refused: dict[str, int], out: str) -> str:
    """What a person needs to know."""
    lines = [f"{out}: constants fitted to {found.runs} runs."]
    for metric, name in NAMES.items():
        before, after = found.shipped_error[metric], found.left_out_error[metric]
        lines.append(
            f"  {name}: median error {before:.1f} % with the shipped constants, {after:.1f} % on runs left out one at a time."
        )
    if found.left_out_error["tpot"] >= found.shipped_error["tpot"]:
        lines.append(
            "  They predict runs left out no better than the shipped ones: more, or more varied, runs are needed."
        )
    moved = sorted(found.values, key=lambda name: -abs(found.values[name] / found.shipped[name] - 1))[:4]
    changes = ", ".join(f"{name} {found.shipped[name]:.4g} → {found.values[name]:.4g}" for name in moved)
    lines.append(f"  Most changed: {changes}.")
    lines += [f"  Not used: {count} x {reason}" for reason, count in refused.items()]
    return "\n".join(lines)
