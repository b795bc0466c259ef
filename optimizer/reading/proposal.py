"""The file of a proposed placement: instances of an inventory, layers of a chain's nodes, what several models get, or the JSON answer of
``solve``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from optimizer.facts.errors import ProblemError
from optimizer.facts.proposal import ChainProposal, ClusterModelsProposal, Proposal, ProposedLayers, SeveralProposal
from optimizer.reading.files import read_mapping
from optimizer.reading.load import first_error
from optimizer.reading.question import Kind


def load_proposal(path: str | Path, kind: Kind) -> Proposal | ChainProposal | SeveralProposal | ClusterModelsProposal:
    """Read a placement (YAML or JSON) for a kind of problem.

    Raises:
        ProblemError: not readable, or not of the form of ``docs/placements.md``.
    """
    values = read_mapping(Path(path), str(path), "a placement, as docs/placements.md describes it,")
    if kind == "uniform":
        raise ProblemError(
            "--placement", "is for cluster and for chains; with hardware every node is alike: fix --tp, --pp, --dp"
        )
    if kind == "models":
        return several_proposal_from_dict(values)
    return chain_proposal_from_dict(values) if kind == "chain" else proposal_from_dict(values)


def several_proposal_from_dict(values: Mapping[str, Any]) -> SeveralProposal | ClusterModelsProposal:
    """What each of several models is to get, from plain data: decisions, or on an inventory the instances.

    Raises:
        ProblemError: with the field, the value and what would be right.
    """
    plain = dict(values)
    if values.get("kind") == "cluster_models" or _names_instances(values):
        return _cluster_models_proposal(values)
    try:
        if values.get("kind") == "models" and isinstance(values.get("models"), list | tuple):
            plain = {"models": {one["name"]: _decisions(one) for one in values["models"]}}
    except (KeyError, TypeError):
        raise ProblemError("models", "is no JSON answer of optimizer solve for several models") from None
    try:
        return SeveralProposal.model_validate(plain)
    except ValidationError as error:
        raise first_error(error, plain, SeveralProposal) from None


def _names_instances(values: Mapping[str, Any]) -> bool:
    """Whether instances are proposed for some model."""
    models = values.get("models")
    every = models.values() if isinstance(models, Mapping) else ()
    return any(isinstance(one, Mapping) and "instances" in one for one in every)


def _cluster_models_proposal(values: Mapping[str, Any]) -> ClusterModelsProposal:
    """The instances of each of several models, or those of a JSON answer."""
    plain = dict(values)
    if values.get("kind") == "cluster_models":
        try:
            plain = {"models": {one["name"]: _of_answer(one["answer"]) for one in values["models"]}}
        except (KeyError, TypeError):
            raise ProblemError(
                "models", "is no JSON answer of optimizer solve for several models on an inventory"
            ) from None
    try:
        return ClusterModelsProposal.model_validate(plain)
    except ValidationError as error:
        raise first_error(error, plain, ClusterModelsProposal) from None


def _decisions(share: Mapping[str, Any]) -> dict[str, Any]:
    """What one model gets in a JSON answer."""
    strategy = share["strategy"]
    return {
        "tp": strategy["tensor_parallel"],
        "pp": strategy["pipeline_parallel"],
        "dp": strategy["data_parallel"],
        "ep": strategy["expert_parallel"],
        "expert_slice_ranks": strategy["expert_slice_ranks"],
        "dcp": strategy["decode_context_parallel"],
        "max_num_seqs": strategy["max_num_seqs"],
        "weights": strategy["weight_precision"],
        "kv": strategy["kv_precision"],
        "layers": strategy["layers_per_stage"],
        "nodes": share["nodes"],
    }


def chain_proposal_from_dict(values: Mapping[str, Any]) -> ChainProposal:
    """The layers of a chain's nodes from plain data.

    Raises:
        ProblemError: with the field, the value and what would be right.
    """
    plain = dict(values)
    try:
        if values.get("kind") == "chain" and "placement" in values:
            held = values["placement"] or ()
            plain = {"nodes": {one["node"]: {"start": one["start"], "layers": one["layers"]} for one in held}}
    except (KeyError, TypeError):
        raise ProblemError("placement", "is no JSON answer of optimizer solve for a chain") from None
    nodes = plain.get("nodes")
    if isinstance(nodes, Mapping):
        plain["nodes"] = {
            name: {"start": held[0], "layers": held[1]} if isinstance(held, list | tuple) and len(held) == 2 else held
            for name, held in nodes.items()
        }
    try:
        return ChainProposal.model_validate(plain)
    except ValidationError as error:
        raise first_error(error, plain, ChainProposal) from None


def layers_option(said: Sequence[str]) -> ChainProposal | None:
    """What ``--node NAME=FIRST:LAYERS`` options state; None where there is none.

    Raises:
        ProblemError: not of that form, or a node is named twice.
    """
    found: dict[str, ProposedLayers] = {}
    for one in said:
        name, _, interval = one.rpartition("=")
        first, _, layers = interval.partition(":")
        numbers = all(part.isascii() and part.isdigit() and len(part) <= 6 for part in (first, layers))
        if not name or not numbers or int(layers) < 1:
            raise ProblemError("--node", f"{one!r} is not of the form NAME=FIRST:LAYERS, such as n0=0:10")
        if name in found:
            raise ProblemError("--node", f"names {name} twice")
        found[name] = ProposedLayers(start=int(first), layers=int(layers))
    return ChainProposal(nodes=found) if found else None


def proposal_from_dict(values: Mapping[str, Any]) -> Proposal:
    """The same from plain data.

    Raises:
        ProblemError: with the field, the value and what would be right.
    """
    plain = _of_answer(values) if "pools" in values and "placement" in values else values
    try:
        return Proposal.model_validate(plain)
    except ValidationError as error:
        raise first_error(error, plain, Proposal) from None


def _of_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The instances of a JSON answer."""
    if not answer["placement"]:
        raise ProblemError("placement", "the answer places nothing; an answer with instances is needed")
    instances = []
    try:
        for one in answer["placement"]:
            pool = answer["pools"][one["pool"]]
            strategy = pool["strategy"]
            gpus: dict[str, list[int]] = {}
            for name in one["gpus"]:
                node, _, index = name.rpartition("/gpu-")
                gpus.setdefault(node, []).append(int(index))
            instances.append(
                {
                    "group": [part["group"] for part in pool["parts"]],
                    "tp": strategy["tensor_parallel"],
                    "pp": strategy["pipeline_parallel"],
                    "ep": strategy["expert_parallel"],
                    "expert_slice_ranks": strategy["expert_slice_ranks"],
                    "dcp": strategy["decode_context_parallel"],
                    "weights": strategy["weight_precision"],
                    "kv": strategy["kv_precision"],
                    "layers": strategy["layers_per_stage"],
                    "nodes": list(gpus),
                    "gpus": gpus,
                    "share": one["share"],
                }
            )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise ProblemError("placement", "is no JSON answer of optimizer solve for an inventory") from None
    return {"instances": instances}
