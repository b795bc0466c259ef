"""Ten thousand generated inventories against every plan that can be placed, in batches.

``FUZZ_BATCH=3/200 python -m pytest -m long tests/inventory/test_long.py`` takes the third of two hundred parts, which is fifty seeds, as
is what runs when nothing is said. What was run is written to the file that ``FUZZ_RECORD`` names, a line for each seed.

Racks and none, zones, domains of the file's own, spared losses, restarts on unused GPUs, PP > 1 and pipelines over two groups are all
drawn; where all plans of an inventory would be too many to list, it keeps its groups and losses and is given fewer shapes (``LADDER``).
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.reading.inventory_file import inventory_from_dict
from tests.inventory.every_plan import compare_with_every_plan
from tests.inventory.generate import random_inventory, tight_inventory

MANY = 10_000
MOST_PLANS = 100


def _batch() -> range:
    part, parts = map(int, os.environ.get("FUZZ_BATCH", "1/200").split("/"))
    return range(MANY * (part - 1) // parts, MANY * part // parts)


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
    for seed in _batch():
        try:
            compare_with_every_plan(drawn(seed), MOST_PLANS)
            said = "agrees"
        except pytest.skip.Exception:
            said = "too many plans to list"
        except Exception as error:
            said = f"WRONG {type(error).__name__} {[*str(error).splitlines(), ''][0]}"
            wrong.append(seed)
        record = os.environ.get("FUZZ_RECORD")
        if record is not None:
            with Path(record).open("a", encoding="utf-8") as file:
                file.write(f"{seed} {said}\n")
    assert not wrong
