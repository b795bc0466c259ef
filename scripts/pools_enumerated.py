"""The search and the verifier of pools against every choice judged one by one: random questions of a seed each.

Usage: python -m scripts.pools_enumerated nodes|groups FIRST LAST. Questions have losses of GPUs, nodes, racks and zones, limits on every
percentile, formats of weights and cache, prices and presets (``tests/pools/enumerated.py``). Prints what disagrees, and how many of
each kind were met.
"""

from __future__ import annotations

import sys
from collections import Counter

from optimizer.questions.cluster_pools import solve_cluster_pools
from optimizer.questions.pools import solve_pools
from tests.pools.clusters import cluster_with
from tests.pools.enumerated import least_on_groups, least_on_nodes, question_on_groups, question_on_nodes
from tests.pools.problems import problem_with
from tests.pools.test_enumerated import disagreement


def main() -> None:
    """Compare the seeds."""
    kind, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    met: Counter[str] = Counter()
    for seed in range(first, last):
        if kind == "nodes":
            one = problem_with(**question_on_nodes(seed))
            answer, best = solve_pools(one, repairs=False), least_on_nodes(one)
            said = disagreement(one, answer, best)
        else:
            two = cluster_with(**question_on_groups(seed))
            found, best = solve_cluster_pools(two, repairs=False), least_on_groups(two)
            said = disagreement(two, found, best)
        met["infeasible" if best is None else "optimal"] += 1
        if said is not None:
            met["disagree"] += 1
            print(f"{kind} seed {seed}: {said}", flush=True)
    print(dict(met))


if __name__ == "__main__":
    main()
