"""The one place that imports CP-SAT.

``ortools.sat.python.cp_model`` imports pandas (0.3 s) for a few vectorised helpers that are not used here. Where pandas
is not loaded already, a stand-in with the two names that cp_model mentions is put in its place during that import only,
so that a command answers in half the time; a later ``import pandas`` gets the real one.
"""

from __future__ import annotations

import sys
import types
from typing import Any


def _import_cp_model() -> Any:
    if "pandas" in sys.modules or "ortools.sat.python.cp_model" in sys.modules:
        from ortools.sat.python import cp_model

        return cp_model
    stand_in = types.ModuleType("pandas")
    stand_in.Index = type("Index", (), {})  # type: ignore[attr-defined]
    stand_in.Series = type("Series", (), {})  # type: ignore[attr-defined]
    sys.modules["pandas"] = stand_in
    try:
        from ortools.sat.python import cp_model
    finally:
        del sys.modules["pandas"]
    return cp_model


cp_model: Any = _import_cp_model()
