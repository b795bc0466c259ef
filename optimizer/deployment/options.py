"""What a person decides about launch files, beyond the strategy: engine, version, target, checkpoint, names, ports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from optimizer.deployment.command import FOLDER, HEAD, NODE, RANK
from optimizer.engines.registry import engine_of
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.model import ModelFacts
from optimizer.facts.text import name_of, shown

TARGETS = ("shell", "ray", "kubernetes", "compose", "systemd", "slurm")
POOL_TARGETS = ("llm-d", "dynamo")
"""For prefill and decode pools besides: what people deploy them with on Kubernetes."""
SERVICE_PORT = 8000
_NODE = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_PATH = 4096
_NO_PATH = re.compile(r"[$`;&|<>\"\\]")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,250}")


@dataclass(frozen=True, slots=True)
class Options:
    """Resolved and checked.

    ``model_id`` is what the engine loads: a Hugging Face name or a path. ``checkpoint_format`` is the weight format that
    it is stored in. ``image`` is "" for the engine's own. ``hosts`` maps node names of the placement to host names; empty: the
    placement's own.
    """

    engine: str
    version: str
    target: str
    model_id: str
    checkpoint_format: str
    image: str
    hosts: dict[str, str]
    namespace: str = "default"
    assumed: str = ""
    """The known version that ``version`` is taken to be like; "" where it is known itself."""
    metrics: bool = False
    """Whether autoscalers, or a router, ask the engines for Prometheus metrics, which not every engine gives unasked."""

    @property
    def unchecked(self) -> str | None:
        """A sentence about what is assumed of the version."""
        if not self.assumed:
            return None
        return (
            f"{self.engine_name} is not known here: its flags, their values, the meaning of its defaults, which formats run on which GPU "
            f"and its image's name are taken to be those of {self.assumed}, and none of them was checked."
        )

    @property
    def in_pods(self) -> bool:
        """Whether Kubernetes starts the engines, each in a network of its own and where it finds room."""
        return self.target in ("kubernetes", *POOL_TARGETS)

    @property
    def engine_name(self) -> str:
        """Such as ``vLLM 0.32.0``."""
        return f"{engine_of(self.engine).title} {self.version}"

    def host(self, node: str) -> str:
        """Host name of a node of the placement."""
        return self.hosts.get(node, node)


def resolve_options(
    model: ModelFacts,
    engine: str,
    target: str,
    *,
    version: str | None = None,
    assume: str | None = None,
    model_id: str | None = None,
    checkpoint_format: str | None = None,
    image: str | None = None,
    namespace: str = "default",
) -> Options:
    """Options with what is left out filled in.

    Raises:
        ProblemError: an engine, target or version that is not known, no model id, or a name with characters that none has.
    """
    from typing import get_args

    from optimizer.engines.flags import read_version
    from optimizer.facts.model import WeightFormat

    known_engine = engine_of(engine, "--engine")
    if target not in (*TARGETS, *POOL_TARGETS):
        raise ProblemError("--target", f"{target!r} is not known; {closest(target, (*TARGETS, *POOL_TARGETS))}")
    launched, known_version = read_version(engine, version, assume)
    assumed = known_version if known_version != launched else ""
    chosen = model_id or model.huggingface_id
    if not chosen:
        raise ProblemError(
            "--model-id",
            f"is needed: {model.name} comes from a config file, which does not say what the engine is to load "
            "(a Hugging Face name such as meta-llama/Llama-3.1-70B, or a path)",
        )
    chosen = _checked_id(chosen, "--model-id" if model_id else "model.huggingface_id")
    stored = checkpoint_format or model.native_weight_format
    known = get_args(WeightFormat)
    if stored not in known:
        raise ProblemError("--checkpoint-format", f"{stored!r} is not a known format; {closest(stored, known)}")
    default = known_engine.images["nvidia"].format(version=launched)
    if image is not None and not _IMAGE.fullmatch(image):
        raise ProblemError("--image", f"{image!r} is not an image name such as {default}")
    if not _LABEL.fullmatch(namespace):
        raise ProblemError(
            "--namespace", f"{namespace!r} is not a Kubernetes namespace (small letters, digits, dashes)"
        )
    return Options(engine, launched, target, chosen, stored, image or "", {}, namespace, assumed=assumed)


def _checked_id(text: str, field: str) -> str:
    """What an engine is to load; letters of any script and spaces are fine, everything is quoted where it is written."""
    try:
        chosen = name_of(text, longest=LONGEST_PATH)
    except ValueError as error:
        raise ProblemError(field, str(error)) from None
    unfit = _NO_PATH.search(chosen)
    if unfit:
        raise ProblemError(field, f"{shown(chosen)} holds {unfit[0]}, which neither a Hugging Face name nor a path has")
    mark = next((mark for mark in (HEAD, RANK, FOLDER, NODE) if mark in chosen), None)
    if mark is not None:
        raise ProblemError(
            field, f"{shown(chosen)} holds {mark}, which launch files replace; a path without it is needed"
        )
    if chosen.startswith("-"):
        raise ProblemError(field, f"{shown(chosen)} would be taken for a flag; a Hugging Face name or a path is needed")
    return chosen


def with_hosts(options: Options, stated: str | None, nodes: Sequence[str]) -> Options:
    """The options with host names of the placement's nodes.

    Args:
        stated: ``node-0=alpha,node-1=beta``, or ``alpha,beta`` in the order of the nodes (more do no harm); None: the nodes' own.


    Raises:
        ProblemError: a name that is no host name, one left out, or a host named twice.
    """
    if stated is None:
        unfit = [node for node in nodes if not _NODE.fullmatch(node)]
        if unfit and not options.in_pods and options.target != "slurm":
            raise ProblemError(
                "--hosts",
                f"is needed: {shown(unfit[0])} can be no host name (letters, digits, dots, dashes); name the host of each of "
                f"{len(nodes)} nodes in order: --hosts HOST,HOST,…, or rename the group in cluster",
            )
        return options
    entries = [entry.strip() for entry in stated.split(",")]
    if all("=" in entry for entry in entries):
        pairs = [(entry.split("=", 1)[0], entry.split("=", 1)[1]) for entry in entries]
    elif len(entries) >= len(nodes) and not any("=" in entry for entry in entries):
        pairs = list(zip(nodes, entries, strict=False))
    else:
        raise ProblemError(
            "--hosts", f"names {len(entries)} hosts, the strategy uses {len(nodes)} nodes: {_few(nodes)}"
        )
    hosts = dict(pairs)
    for host in hosts.values():
        if not _HOST.fullmatch(host):
            raise ProblemError(
                "--hosts", f"{host!r} is not a host name or address (small letters, digits, dots, dashes)"
            )
    missing = [node for node in nodes if node not in hosts]
    if missing:
        raise ProblemError("--hosts", f"{_few(missing)} left out; the strategy uses {_few(nodes)}")
    if len(set(hosts.values())) < len(pairs):
        raise ProblemError("--hosts", "names a host twice; each node is a machine of its own")
    return replace(options, hosts={node: hosts[node] for node in nodes})


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
