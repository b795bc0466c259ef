"""Keyword options that ``solve`` and ``check`` share, for their overloads by kind of problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from optimizer.facts.proposal import ChainProposal, ClusterModelsProposal, Proposal, SeveralProposal
    from optimizer.reading.stated import Stated
    from optimizer.results.pools import FixedPools

Progress = Callable[[Any], None]
"""Called with what the search knows at each improvement."""


class AskOptions(TypedDict, total=False):
    """Of both; each is explained at ``solve``."""

    time_limit_s: float | None
    progress: Progress | None
    stated: Stated | None
    all_conflicts: bool
    repairs: bool


class SolveOptions(AskOptions, total=False):
    """Of ``solve``."""

    gap: float
    side_by_side: bool


class CheckOptions(AskOptions, total=False):
    """Of ``check``."""

    placement: Proposal | ChainProposal | SeveralProposal | ClusterModelsProposal | None
    pools: FixedPools | None
    share: float | None
    side_by_side: bool
