"""A price file: what one GPU costs per hour, by catalog name, each with where the figure is from.

    date: 2026-11-02                                   # when they held
    h100-sxm-80gb: 2.99
    a100-sxm-80gb: {price_per_gpu_hour: 1.79, source: "quote of 2026-11-02"}
    mi300x-192gb: {price_per_node_hour: 20.4, gpus_per_node: 8}
    l40s-48gb: {on-demand: 0.99, reserved: 0.6, spot: {price_per_gpu_hour: 0.3, source: "list of 2026-11-01"}}

The product ships no prices: they change by the week and by the customer.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import get_args

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import Pricing
from optimizer.facts.paths import beside
from optimizer.facts.text import shown
from optimizer.reading import local_files
from optimizer.reading.files import read_mapping


def load_prices(path: str | Path, named: str | None = None) -> dict[str, float]:
    """Price per GPU and hour by the GPU's catalog name, and by name and form of those that are reserved or spot (``priced_as``).

    Args:
        named: what messages call the file; left out, its path.

    Raises:
        ProblemError: not readable, an unknown GPU, or no price.
    """
    named = named or str(path)
    found: dict[str, float] = {}
    seen: set[str] = set()
    for name, stated in read_mapping(Path(path), named).items():
        if name == "date":
            _day(stated, f"{named}: date")
            continue
        gpu = catalog.gpu(str(name), field=named)
        if gpu.name in seen:
            raise ProblemError(f"{named}: {name}", f"is {gpu.name}, which has a price already; keep one of the two")
        seen.add(gpu.name)
        for pricing, each in _forms(stated, f"{named}: {name}").items():
            field = f"{named}: {name}" if each is stated else f"{named}: {name}.{pricing}"
            found[priced_as(gpu.name, pricing)] = _per_gpu(each, field, gpu.gpus_per_node)
    return found


def prices_beside(stated: str, folder: Path | None) -> dict[str, float]:
    """The prices of the file that a problem names, whose path starts where the problem's does."""
    local_files.refuse("prices", "state price_per_gpu_hour")
    return load_prices(beside(stated, folder or Path(), "prices"), f"prices: {stated}")


def priced_as(gpu: str, pricing: Pricing) -> str:
    """What a price is known by: the GPU's name, and how it is paid for unless on demand."""
    return gpu if pricing == "on-demand" else f"{gpu} {pricing}"


def _forms(stated: object, field: str) -> dict[Pricing, object]:
    """What is stated of each way to pay; a price by itself is on demand."""
    forms = get_args(Pricing)
    if not isinstance(stated, dict) or not set(stated) & set(forms):
        return {"on-demand": stated}
    unknown = sorted(set(map(str, stated)) - {*forms, "source", "date"})
    if unknown:
        raise ProblemError(
            f"{field}.{unknown[0]}", f"stands beside {', '.join(f for f in forms if f in stated)}; state it in each"
        )
    beside = {key: stated[key] for key in ("source", "date") if key in stated}
    if beside:
        _per_gpu({"price_per_gpu_hour": 0, **beside}, field, 1)
    return {form: stated[form] for form in forms if form in stated}


def dated(path: str | Path) -> str | None:
    """When the prices of a file held, as it says; None: it does not say."""
    stated = read_mapping(Path(path), str(path)).get("date")
    return None if stated is None else _day(stated, f"{path}: date")


def _day(stated: object, field: str) -> str:
    """A day as it is written in ISO 8601: what is printed beside the prices, and nothing else a file might put there."""
    try:
        if not isinstance(stated, str):
            raise ValueError
        return datetime.date.fromisoformat(stated).isoformat()
    except ValueError:
        raise ProblemError(field, f"{shown(stated)} is no day; write it as 2026-11-02") from None


HIGHEST_PRICE = 10**6
"""Per hour; what is above would be no price but a slip of units, and a sum of such beyond what is compared exactly."""
MOST_GPUS = 1024
"""Of one node."""
_FIELDS = {"price_per_gpu_hour", "price_per_node_hour", "gpus_per_node", "source", "date"}


def _per_gpu(stated: object, field: str, usual_gpus: int) -> float:
    """The price of one GPU; that of a node is shared by all its GPUs."""
    if not isinstance(stated, dict):
        return _price(stated, field)
    unknown = sorted(set(map(str, stated)) - _FIELDS)
    if unknown:
        raise ProblemError(f"{field}.{unknown[0]}", f"is no field of a price; {', '.join(sorted(_FIELDS))} are")
    if "date" in stated:
        _day(stated["date"], f"{field}.date")
    if not isinstance(stated.get("source", ""), str):
        raise ProblemError(f"{field}.source", f"{shown(stated['source'])} is no text")
    each, node = (stated.get(name) for name in ("price_per_gpu_hour", "price_per_node_hour"))
    if (each is None) == (node is None):
        raise ProblemError(field, "state one of price_per_gpu_hour and price_per_node_hour")
    if each is not None:
        return _price(each, field)
    gpus = stated.get("gpus_per_node", usual_gpus)
    if isinstance(gpus, bool) or not isinstance(gpus, int) or not 1 <= gpus <= MOST_GPUS:
        raise ProblemError(f"{field}.gpus_per_node", f"{gpus!r} is not allowed; a whole number from 1 to {MOST_GPUS:,}")
    return _price(node, field) / gpus


def _price(price: object, field: str) -> float:
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price <= HIGHEST_PRICE:
        raise ProblemError(field, f"{price!r} is no price; a number per GPU and hour, from 0 to {HIGHEST_PRICE:,}")
    return float(price)
