"""Findings about a running service as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from optimizer.deployment.comparison import PlanDifference
from optimizer.facts.text import visible

_WORDS = {True: "as planned", False: "DIFFERS", None: "not judged"}


def findings_text(title: str, found: Sequence[PlanDifference]) -> str:
    """A line for each, differences named at the end."""
    lines = [visible(title)]
    for one in found:
        words = f"{one.what}: planned {one.planned}, found {one.found}"
        lines.append(f"  {_WORDS[one.same]:<10}  {visible(one.where)}: {visible(words)}")
    differ = [one for one in found if one.same is False]
    said = "Nothing that could be judged differs from the plan."
    if differ:
        said = f"{len(differ)} of {len(found)} differ from the plan: {', '.join(dict.fromkeys(one.what for one in differ))}."
    return "\n".join([*lines, said])


def findings_json(found: Sequence[PlanDifference]) -> str:
    """``{"same": bool, "findings": [...]}``."""
    return json.dumps(
        {"same": all(one.same is not False for one in found), "findings": [asdict(one) for one in found]}, indent=2
    )
