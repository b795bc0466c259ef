"""Evaluates the arithmetic of ``data/quantities.yaml``: names of facts, numbers, ``+ - * /``, ``min max floor ceil``.

A small language of its own so that data stays data: nothing else can be called, and a name that a situation does not have
makes the value absent rather than wrong.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_CALLS: dict[str, Callable[..., float]] = {"min": min, "max": max, "floor": math.floor, "ceil": math.ceil}


class UnknownName(LookupError):
    """The formula needs a fact that the situation does not have."""


@cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def value_of(text: str, names: Mapping[str, float]) -> float:
    """The value of a formula.

    Raises:
        UnknownName: a name in it has no value here.
        ValueError: it is not such a formula.
    """
    return _value(_parsed(text), names)


def _value(node: ast.expr, names: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, names)
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise UnknownName(node.id)
        return names[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)](_value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        given: list[Any] = [_value(one, names) for one in node.args]
        return float(_CALLS[node.func.id](*given))
    raise ValueError(f"not a formula: {ast.dump(node)}")
