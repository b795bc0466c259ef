"""The serving engines there are: those with a file in ``engines/data/profiles``. Light, because the command line asks it for names."""

from __future__ import annotations

from pathlib import Path

PROFILES = Path(__file__).parent.parent / "engines" / "data" / "profiles"
ENGINE_NAMES: tuple[str, ...] = tuple(sorted(path.stem for path in PROFILES.glob("*.yaml")))
NAMED = " or ".join((", ".join(ENGINE_NAMES[:-1]), ENGINE_NAMES[-1]))
"""The names, for a sentence."""
