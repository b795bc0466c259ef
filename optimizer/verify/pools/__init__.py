"""Pools recomputed from the facts, compared with every other pair, and played. ``docs/disaggregated.md``."""
