"""Derivations: the formulas of docs/model.md with the numbers of one strategy filled in."""
