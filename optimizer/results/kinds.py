"""The answers of ``solve`` and ``check``, whatever the kind of problem."""

from __future__ import annotations

from optimizer.results.answer import Answer
from optimizer.results.chain import ChainAnswer
from optimizer.results.cluster_day import ClusterDayAnswer
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.day import DayAnswer
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.pools import PoolsAnswer
from optimizer.results.several import SeveralAnswer

AnyAnswer = (
    Answer
    | InventoryAnswer
    | ChainAnswer
    | PoolsAnswer
    | ClusterPoolsAnswer
    | SeveralAnswer
    | ClusterModelsAnswer
    | DayAnswer
    | ClusterDayAnswer
)
