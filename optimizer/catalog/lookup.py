"""GPUs and models that ship with the product. Each is one data file; adding one needs no code."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.catalog.instances import spelling
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.hardware import FailureRates, GpuFacts
from optimizer.facts.model import ModelFacts

_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
DATA = Path(__file__).parent / "data"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        entry: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    return entry


def names(kind: str) -> list[str]:
    """Catalog names of ``"gpus"`` or ``"models"``, sorted."""
    return sorted(path.stem for path in (DATA / kind).glob("*.yaml"))


@cache
def entry(kind: str, name: str) -> dict[str, Any]:
    """The data file of a catalog name or alias; case does not matter, nor how its words are joined (RTX 3090, rtx-3090).

    Raises:
        KeyError: the catalog has no such name.
    """
    wanted = name.strip().lower()
    path = DATA / kind / f"{wanted}.yaml"
    if _FILE_NAME.fullmatch(wanted) and path.is_file():
        return _read(path)
    for other in names(kind):
        file = DATA / kind / f"{other}.yaml"
        if wanted.encode() in file.read_bytes():  # reading is cheap, understanding YAML is not
            found = _read(file)
            if wanted in found.get("aliases", ()):
                return found
    spelled = spelling(wanted)
    for other in names(kind):
        found = _read(DATA / kind / f"{other}.yaml")
        if spelled in {spelling(known) for known in (other, *found.get("aliases", ()))}:
            return found
    raise KeyError(name)


def gpu(name: str, field: str = "hardware.gpu") -> GpuFacts:
    """Facts of a GPU by catalog name or alias.

    Raises:
        ProblemError: the catalog has no such GPU; the message names the closest.
    """
    try:
        values = entry("gpus", name)
    except KeyError:
        raise ProblemError(field, f"no GPU {name!r} in the catalog; {closest(name, names('gpus'))}") from None
    return GpuFacts.model_validate({key: value for key, value in values.items() if key in GpuFacts.model_fields})


def model(name: str, field: str = "model") -> ModelFacts:
    """Facts of a model by catalog name or alias.

    Raises:
        ProblemError: the catalog has no such model; the message names the closest.
    """
    try:
        values = entry("models", name)
    except KeyError:
        raise ProblemError(
            field, f"no model {name!r} in the catalog and no such file; {closest(name, names('models'))}"
        ) from None
    facts = model_from_config(
        values["config"],
        name=values["name"],
        huggingface_id=values["huggingface_id"],
        field=f"{field}.{values['name']}",
    )
    return facts.model_copy(update={"published_parameters": values.get("published_parameters")})


@cache
def failure_defaults() -> FailureRates:
    """Failure rates of GPUs and hosts and the mean recovery time, with sources in ``data/failures.yaml``."""
    rates = _read(DATA / "failures.yaml")

    def mtbf(key: str) -> float:
        return float(rates[key]["exposure_hours"] / rates[key]["events"])

    return FailureRates(
        gpu_mtbf_hours=mtbf("gpu_failures_per_gpu_hour"),
        node_mtbf_hours=mtbf("host_failures_per_node_hour"),
        repair_hours=rates["recovery_hours"]["value"],
    )


@cache
def fleet_failure_defaults() -> dict[str, Any]:
    """Mean hours between failures of each kind of part with their ranges, by field of ``failures``; None: no default.

    A rack fails with its top-of-rack switch. Ranges and sources are in ``data/failures.yaml``.
    """
    rates = _read(DATA / "failures.yaml")

    def mtbf(key: str) -> dict[str, float]:
        entry = rates[key]
        exact = entry["exposure_hours"] / entry["events"] if "events" in entry else 1 / entry["value"]
        return {"value": exact, "low": 1 / entry["high"], "high": 1 / entry["low"]}

    recovery = rates["recovery_hours"]
    return {
        "gpu_mtbf_hours": mtbf("gpu_failures_per_gpu_hour"),
        "node_mtbf_hours": mtbf("host_failures_per_node_hour"),
        "rack_mtbf_hours": mtbf("tor_switch_failures_per_hour"),
        "zone_mtbf_hours": None,
        "domain_mtbf_hours": None,
        "repair_hours": {key: recovery[key] for key in ("value", "low", "high")},
    }
