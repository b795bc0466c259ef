"""Instance types of clouds: a name such as ``p5.48xlarge`` or ``ND96isr_H100_v5`` stands for a whole node.

One file a cloud in ``data/instances``; adding a type needs no code. A statement that names one is rewritten into the fields
it stands for before anything else reads it, so that the rest of the product knows nodes only, and what a person states
beside the name wins over what the name implies.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer.catalog.spelling import spelling
from optimizer.facts.errors import ProblemError, closest

DATA = Path(__file__).parent / "data" / "instances"
GPUS = DATA.parent / "gpus"
FIELDS = {
    "gpu": "gpu",
    "gpus": "gpus_per_node",
    "network_gbit_per_s": "internode_gbit_per_s",
    "nvlink_gb_per_s": "nvlink_gb_per_s",
    "nvlink_domain_gpus": "nvlink_domain_gpus",
    "cpu_cores": "cpu_cores",
    "host_memory_gb": "host_memory_gb",
}
"""Field of an instance type → field of ``hardware`` or of a group of ``cluster``."""
HOST_FIELDS = ("cpu_cores", "host_memory_gb")
"""What only ``hardware`` has."""


@cache
def clouds() -> tuple[dict[str, Any], ...]:
    """The data files, sorted by cloud."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return tuple(yaml.load(path.read_bytes(), Loader=loader) for path in sorted(DATA.glob("*.yaml")))


@cache
def _by_spelling() -> dict[str, str]:
    """Every way to write an instance type → its name: with and without the cloud in front."""
    found: dict[str, str] = {}
    for cloud in clouds():
        for name in cloud["instances"]:
            for prefix in ("", *cloud["prefixes"]):
                found[spelling(prefix + name)] = name
    return found


@cache
def _gpu_names() -> frozenset[str]:
    """Names of GPUs, none of which is an instance type: the clouds' files need not be read for them."""
    return frozenset(path.stem for path in GPUS.glob("*.yaml"))


def instance_names() -> list[str]:
    """Every instance type there is, sorted."""
    return sorted(name for cloud in clouds() for name in cloud["instances"])


def instance_name(stated: str) -> str | None:
    """The instance type that a word names, however it is written; None: none."""
    return _by_spelling().get(spelling(stated))


def instance(name: str) -> dict[str, Any]:
    """What an instance type is: ``gpu``, ``gpus`` and what else its cloud states of it."""
    return next(dict(cloud["instances"][name]) for cloud in clouds() if name in cloud["instances"])


def node_fields(values: Any, field: str, *, host: bool) -> Any:
    """A ``hardware`` section or a group of ``cluster`` with an instance type replaced by what it stands for.

    The type stands in ``instance_type``, or where the GPU is named.

    Args:
        values: as the person stated them; anything but a mapping is returned as it is.
        field: dotted path of the section, for messages.
        host: whether the section has fields of the host (``hardware`` does).

    Raises:
        ProblemError: no such instance type, another GPU beside it, or more GPUs than it has.
    """
    if not isinstance(values, Mapping):
        return values
    stated, gpu = values.get("instance_type"), values.get("gpu")
    name = instance_name(stated) if isinstance(stated, str) else None
    if stated is not None and name is None:
        raise ProblemError(f"{field}.instance_type", f"{stated!r} is not known; {_near(stated)}")
    if name is None:
        name = instance_name(gpu) if isinstance(gpu, str) and gpu not in _gpu_names() else None
        if name is None:
            return values
        gpu = None
    implied = instance(name)
    if gpu is not None and not _same_gpu(gpu, implied["gpu"]):
        raise ProblemError(f"{field}.gpu", f"{gpu!r} stands beside instance_type {name}, which has {implied['gpu']}")
    most, asked = implied["gpus"], values.get("gpus_per_node")
    if isinstance(asked, int) and asked > most:
        raise ProblemError(f"{field}.gpus_per_node", f"{asked} is more than the {most} GPUs of {name}")
    plain = {key: value for key, value in values.items() if key not in ("instance_type", "gpu")}
    for source, target in FIELDS.items():
        cards = target == "internode_gbit_per_s" and "nics" in plain
        if source in implied and target not in plain and not cards and (host or target not in HOST_FIELDS):
            plain[target] = implied[source]
    return {"gpu": plain.pop("gpu"), **plain}


def nodes_stated(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A whole problem file with every instance type replaced, in ``hardware`` and in the groups of ``cluster``.

    Raises:
        ProblemError: see ``node_fields``.
    """
    changed: dict[str, Any] = {}
    if "hardware" in values:
        changed["hardware"] = node_fields(values["hardware"], "hardware", host=True)
    groups = values.get("cluster")
    if isinstance(groups, list | tuple):
        changed["cluster"] = [
            node_fields(group, f"cluster.{number}", host=False) for number, group in enumerate(groups)
        ]
    same = all(changed[key] == values[key] for key in changed)
    return values if same else {key: changed.get(key, value) for key, value in values.items()}


def _same_gpu(stated: Any, implied: str) -> bool:
    from optimizer.catalog import lookup as catalog

    try:
        return isinstance(stated, str) and catalog.entry("gpus", stated)["name"] == implied
    except KeyError:
        return False


def _near(stated: Any) -> str:
    return closest(str(stated), instance_names()) if isinstance(stated, str) else "a name such as p5.48xlarge is needed"
