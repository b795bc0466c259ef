"""Counts of nodes in the groups of an inventory: ``--nodes GROUP=COUNTS``, and fields such as ``cluster.h100.nodes``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.sweeps.counts import parse_counts

Counts = str | Iterable[int]
_OPTION = "--nodes"


def nodes_option(said: Sequence[str]) -> dict[str, str] | None:
    """What ``--nodes`` options state: group → counts; None where there is none.

    Raises:
        ProblemError: not of the form GROUP=COUNTS, or a group is named twice.
    """
    found: dict[str, str] = {}
    for one in said:
        name, equals, counts = one.partition("=")
        if not equals or not name.strip() or not counts.strip():
            raise ProblemError(_OPTION, f"{one!r} is not of the form GROUP=COUNTS, such as h100=1..4")
        if name.strip() in found:
            raise ProblemError(_OPTION, f"names group {name.strip()} twice; separate counts by commas")
        found[name.strip()] = counts.strip()
    return found or None


def group_counts(problem: InventoryProblem, asked: Mapping[str, Counts], *, zero: bool = False) -> dict[str, list[int]]:
    """Counts of nodes of each group that is named, ascending; a group spread over racks keeps counts that fill them evenly.

    Args:
        problem: whose groups are meant.
        asked: group → counts, as text (``1..8``) or numbers.
        zero: a count of 0, the group left out, is allowed.

    Raises:
        ProblemError: there is no such group, or no count is left.
    """
    names = [group.name for group in problem.groups]
    found = {}
    for name, counts in asked.items():
        if name not in names:
            raise ProblemError(_OPTION, f"no group {name!r}; {closest(name, names)}")
        found[name] = _counts(problem.group(name), counts, zero)
    return found


def _counts(group: NodeGroup, counts: Counts, zero: bool) -> list[int]:
    text = counts if isinstance(counts, str) else ",".join(str(count) for count in counts)
    field = f"{_OPTION} {group.name}"
    none = False
    if zero:
        # The group may stay away: 0 is no count of GPUs, so it is read here.
        none = text == "0" or text.startswith(("0..", "0,"))
        text = "" if text == "0" else "1" + text[1:] if text.startswith("0..") else text.removeprefix("0,")
    found = parse_counts(text, field=field) if text else []
    if group.racks:
        found = [count for count in found if count % group.racks == 0]
        if not found and not none:
            raise ProblemError(
                field, f"{counts!r} holds no multiple of the {group.racks} racks that the nodes are spread over"
            )
    return [0, *found] if none else found


def indexed(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Changes with ``cluster.NAME.field`` as ``cluster.INDEX.field``, as the problem file counts its groups.

    Raises:
        ProblemError: there is no such group.
    """
    cluster = values.get("cluster")
    groups = cluster if isinstance(cluster, list | tuple) else ()
    names = [str(group.get("name")) if isinstance(group, Mapping) else "" for group in groups]
    found = {}
    for field, value in changes.items():
        parts = field.split(".")
        if parts[0] == "cluster" and len(parts) > 2:
            name = parts[1]
            if name in names:
                parts[1] = str(names.index(name))
            elif not (name.isascii() and name.isdigit() and int(name) < len(groups)):
                raise ProblemError(field, f"no group {name!r} in cluster; {closest(name, names)}")
        found[".".join(parts)] = value
    return found
