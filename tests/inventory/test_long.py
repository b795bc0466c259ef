"""Generated inventories against every plan that can be placed, in batches: ``pytest -m long``.

``LONG_FIRST`` and ``LONG_MANY`` in the environment choose the seeds; what was run is written to the file that ``LONG_RECORD`` names, a line
for each seed. Racks and none, zones, domains of the file's own, spared losses, restarts on unused GPUs, PP > 1 and pipelines over two
groups are all drawn.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.reading.inventory_file import inventory_from_dict
from tests.inventory.generate import random_inventory, tight_inventory
from tests.inventory.test_solve import compare_with_every_plan

FIRST = int(os.environ.get("LONG_FIRST", "1000"))
MANY = int(os.environ.get("LONG_MANY", "50"))


def drawn(seed: int) -> InventoryProblem:
    """An inventory of a seed: every second one tight, some with domains of their own and restarts."""
    rng = random.Random(77_000 + seed)
    stated: dict[str, Any] = tight_inventory(seed) if seed % 2 else random_inventory(seed)
    cluster = stated["cluster"]
    for number, group in enumerate(cluster):
        group.setdefault("name", f"g{number}")
    if len(cluster) > 1 and rng.random() < 0.3:
        names = [group["name"] for group in cluster]
        cut = rng.randint(1, len(names) - 1)
        stated["domains"] = {"switch": {"s1": names[:cut], "s2": names[cut:]}}
        if rng.random() < 0.5:
            survive = stated["requirements"].setdefault("survive", {})
            survive |= {"switch": 1, "demand_share": survive.get("demand_share", 0.5)}
    survive = stated["requirements"].get("survive", {})
    if "gpu" in survive and rng.random() < 0.5:
        survive["within_s"] = rng.choice([60, 600])
    if rng.random() < 0.2:
        stated["failures"] = {
            "gpu_mtbf_hours": 500,
            "node_mtbf_hours": 800,
            "rack_mtbf_hours": 2000,
            "repair_hours": 10,
        }
    return inventory_from_dict(stated)


@pytest.mark.long
def test_no_plan_of_any_inventory_of_the_batch_is_better() -> None:
    """Every seed is tried; those with too many plans to list are counted, not hidden."""
    wrong = []
    for seed in range(FIRST, FIRST + MANY):
        try:
            compare_with_every_plan(drawn(seed))
            said = "agrees"
        except pytest.skip.Exception:
            said = "too many plans to list"
        except AssertionError as error:
            said = f"WRONG {str(error).splitlines()[0]}"
            wrong.append(seed)
        record = os.environ.get("LONG_RECORD")
        if record is not None:
            with Path(record).open("a", encoding="utf-8") as file:
                file.write(f"{seed} {said}\n")
    assert not wrong
