"""Which room prints which kind of answer."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.results.answer import CheckAnswer
from optimizer.results.chain import ChainAnswer
from optimizer.results.cluster_day import ClusterDayAnswer
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.day import DayAnswer
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.kinds import AnyAnswer
from optimizer.results.pools import PoolsAnswer
from optimizer.results.several import SeveralAnswer


def print_any(
    answer: AnyAnswer,
    *,
    full: bool,
    launch: Sequence[str] = (),
) -> None:
    """Print the answer of ``solve`` or ``check``: one screen, or every table; ``launch`` are the sentences that start it."""
    if isinstance(answer, InventoryAnswer):
        from optimizer.render.inventory import print_inventory

        print_inventory(answer, full=full, launch=launch)
    elif isinstance(answer, PoolsAnswer):
        from optimizer.render.pools import print_pools

        print_pools(answer, full=full, launch=launch)
    elif isinstance(answer, ClusterPoolsAnswer):
        from optimizer.render.cluster_pools import print_cluster_pools

        print_cluster_pools(answer, full=full, launch=launch)
    elif isinstance(answer, DayAnswer):
        from optimizer.render.day import print_day

        print_day(answer, full=full, launch=launch)
    elif isinstance(answer, ClusterDayAnswer):
        from optimizer.render.cluster_day import print_cluster_day

        print_cluster_day(answer, full=full, launch=launch)
    elif isinstance(answer, SeveralAnswer):
        from optimizer.render.several import print_several

        print_several(answer, full=full, launch=launch)
    elif isinstance(answer, ClusterModelsAnswer):
        from optimizer.render.cluster_models import print_cluster_models

        print_cluster_models(answer, full=full, launch=launch)
    elif isinstance(answer, ChainAnswer):
        from optimizer.render.chain import print_chain

        print_chain(answer)
    elif isinstance(answer, CheckAnswer):
        from optimizer.render.text import print_check

        print_check(answer, full=full, launch=launch)
    else:
        from optimizer.render.text import print_answer

        print_answer(answer, full=full, launch=launch)
