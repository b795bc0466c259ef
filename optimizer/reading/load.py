"""From a problem file (YAML or JSON) to a checked ``Problem``; every refusal is one ``ProblemError``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from optimizer.catalog import lookup as catalog
from optimizer.catalog.instances import nodes_stated
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.engines.sixteen_bit import served_on
from optimizer.facts import paths
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.demand import Objective, Requirements, SearchLimits
from optimizer.facts.derived import following
from optimizer.facts.errors import ProblemError
from optimizer.facts.file import HardwareInput, ProblemFile
from optimizer.facts.hardware import GpuFacts, HardwareFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.facts.text import name_from_path, name_of, shown
from optimizer.reading import local_files
from optimizer.reading.checkpoint import model_at
from optimizer.reading.fields import what_is_one
from optimizer.reading.files import Document, read_mapping
from optimizer.reading.money import in_ms, interruptions, with_interruptions
from optimizer.reading.numbers import said_of_number
from optimizer.reading.power import known_watts, with_idle, working_gpus
from optimizer.reading.prices import priced_as, prices_beside
from optimizer.reading.workload import longest_allowed, workload_of


def load_problem(path: str | Path) -> Problem:
    """Read, check and resolve a problem file.

    Args:
        path: a YAML or JSON file; relative model paths in it are relative to the file.

    Raises:
        ProblemError: the file is missing, not readable, malformed, or states something impossible.
    """
    file = Path(path)
    return problem_from_dict(read_mapping(file, str(path)), default_name=file.stem, folder=file.parent)


def problem_from_dict(
    values: Mapping[str, Any],
    *,
    default_name: str = "problem",
    folder: Path | None = None,
    model: ModelFacts | None = None,
) -> Problem:
    """Check and resolve a problem given as plain data.

    Args:
        values: the contents of a problem file.
        default_name: the name when the file states none.
        folder: where relative model paths start; the working directory when left out.
        model: the facts of the model, when they are resolved already.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    if "cluster" in values and "hardware" not in values:
        raise ProblemError("cluster", "states an inventory; equal nodes are needed here: state them as hardware:")
    values = nodes_stated(values)
    try:
        stated = ProblemFile.model_validate(values)
    except ValidationError as error:
        raise first_error(error, values) from None
    objective = stated.objective
    if isinstance(objective, str):
        objective = Objective(preset=objective)
    model = model or resolve_model(stated.model, folder or Path())
    hardware = resolve_hardware(stated.hardware)
    if stated.prices is not None:
        price = prices_beside(stated.prices, folder).get(priced_as(hardware.gpu.name, hardware.pricing))
        if hardware.price_per_gpu_hour is None:
            hardware = hardware.model_copy(update={"price_per_gpu_hour": price})
    search = stated.search if hardware.gpu.peer_links else by_itself(stated.search, hardware.gpu)
    model = served_on(model, stated.engine, [hardware.gpu])
    try:
        problem = Problem(
            name=stated.name or name_from_path(default_name, "problem"),
            engine=stated.engine,
            hardware=hardware,
            model=model,
            workload=workload_of(
                stated.workload, folder or Path(), longest_allowed(stated.requirements, model), model, resolve_model
            ),
            requirements=stated.requirements,
            objective=objective,
            search=search,
            serving=stated.serving,
            engine_version=stated.engine_version,
            engine_overhead=stated.engine_overhead,
        )
    except ValidationError as error:
        raise first_error(error, values) from None
    if objective.tolerance is not None:
        raise ProblemError(
            "objective.tolerance", "is for cluster:, whose groups differ; with hardware: weigh GPUs by gpu_ms"
        )
    if problem.serving != "joint" and hardware.power_limit_watts is not None:
        said = f"is for serving: joint, not for {problem.serving}; node_power_limit_watts holds for pools too"
        raise ProblemError("hardware.power_limit_watts", said)
    refuse_impossible_context(problem.model, problem.requirements, problem.search)
    rate = None if problem.workload.users is not None else problem.workload.requests_per_s
    objective = in_ms(objective, [hardware.price_per_gpu_hour], rate, "hardware.price_per_gpu_hour", hardware.gpus)
    return problem.model_copy(update={"objective": objective})


def refuse_impossible_context(model: ModelFacts, requirements: Requirements, search: SearchLimits) -> None:
    """A longer context than the model was made for is a slip unless the ``context`` rule was switched off on purpose."""
    limit = model.max_context_tokens
    stated = requirements.max_sequence_tokens
    if stated is not None and stated > limit and "context" not in search.disabled_rules:
        raise ProblemError(
            "requirements.max_sequence_tokens",
            f"{stated} is beyond the {limit} tokens {model.name} was made for; use at most {limit}, "
            "or add context to search.disabled_rules if the model is served with extended positions",
        )


def by_itself(search: SearchLimits, gpu: GpuFacts) -> SearchLimits:
    """What is searched where no GPU reaches another.

    Raises:
        ProblemError: layouts of several GPUs are asked for.
    """
    for field in ("tensor_parallel", "pipeline_parallel"):
        if set(getattr(search, field) or (1,)) != {1}:
            raise ProblemError(f"search.{field}", no_peers(gpu))
    return search.model_copy(update={"tensor_parallel": (1,), "pipeline_parallel": (1,), "expert_parallel": "off"})


def no_peers(gpu: GpuFacts) -> str:
    """Why layouts of several GPUs are refused."""
    return f"{gpu.name} reaches no other GPU, so that every instance has one: TP, PP and EP are 1; state whole GPUs instead"


def resolve_hardware(stated: HardwareInput) -> HardwareFacts:
    """Hardware as stated, with what is left out taken from the catalog entry of the GPU."""
    gpu = known_capability(stated.gpu) if isinstance(stated.gpu, GpuFacts) else catalog.gpu(stated.gpu)
    gpu = with_idle(gpu, stated.idle_watts)
    per_node = stated.gpus_per_node or gpu.gpus_per_node
    if stated.nodes * per_node > LARGEST_COUNT:
        total = stated.nodes * per_node
        raise ProblemError(
            "hardware.nodes", f"{stated.nodes} × {per_node} GPUs are {total:,}; at most {LARGEST_COUNT:,}"
        )
    nvlink = gpu.nvlink_gb_per_s if stated.nvlink_gb_per_s is None else stated.nvlink_gb_per_s
    domain = nvlink_domain(gpu, per_node, stated.nvlink_gb_per_s, stated.nvlink_domain_gpus)
    if nvlink == 0 and domain > 1:
        raise ProblemError("hardware.nvlink_domain_gpus", f"{domain} needs hardware.nvlink_gb_per_s above 0")
    if stated.power_limit_watts is not None:
        known_watts(gpu, "hardware")
    working = working_gpus(gpu, per_node, stated.node_power_limit_watts, stated.host_watts, "hardware")
    # Of a domain that spans nodes each node keeps as many as it lets work; one within a node cannot hold more than that.
    domain = domain // per_node * working if domain > per_node else min(domain, working)
    network, assumed = network_of(gpu, per_node, stated.internode_gbit_per_s)
    defaults = catalog.failure_defaults()
    overrides = {k: v for k, v in stated.failures.model_dump().items() if v is not None}
    with following("hardware"):
        return HardwareFacts(
            gpu=gpu,
            nodes=stated.nodes,
            gpus_per_node=working,
            nvlink_gb_per_s=nvlink,
            nvlink_domain_gpus=domain,
            pcie_gb_per_s=gpu.pcie_gb_per_s if stated.pcie_gb_per_s is None else stated.pcie_gb_per_s,
            internode_gbit_per_s=network,
            internode_latency_us=stated.internode_latency_us,
            memory_used_mib=most_used(stated.memory_used_mib, gpu, per_node, "hardware.memory_used_mib"),
            host_memory_gb=stated.host_memory_gb,
            cpu_cores=stated.cpu_cores,
            price_per_gpu_hour=price_of_a_gpu(
                stated.price_per_gpu_hour, stated.price_per_node_hour, per_node, "hardware"
            ),
            failures=with_interruptions(
                defaults.model_copy(update=overrides),
                interruptions(stated.pricing, stated.interruptions_per_hour, "hardware"),
            ),
            pricing=stated.pricing,
            power_limit_watts=stated.power_limit_watts,
            node_power_limit_watts=stated.node_power_limit_watts,
            host_watts=stated.host_watts,
            idle_gpus_per_node=per_node - working,
            assumed=tuple(f"{one}; hardware.internode_gbit_per_s states it" for one in assumed),
        )


def price_of_a_gpu(of_gpu: float | None, of_node: float | None, gpus: int, field: str) -> float | None:
    """Price of one GPU for one hour, from either of what may be stated.

    Args:
        gpus: of a node, that share its price.
        field: of the hardware or group, for the message.

    Raises:
        ProblemError: both are stated.
    """
    if of_node is None:
        return of_gpu
    if of_gpu is not None:
        raise ProblemError(f"{field}.price_per_node_hour", "is stated beside price_per_gpu_hour; state one of them")
    return of_node / gpus


PLAIN_NETWORK_GBIT_PER_S = 100.0
"""Of a node where neither the problem nor the catalog says more: one 100 Gbit/s port, the least that clusters of GPUs have."""


def network_of(gpu: GpuFacts, gpus_per_node: int, stated: float | None) -> tuple[float, tuple[str, ...]]:
    """Gbit/s of one node, one direction, and what was assumed: as stated, else as nodes of this GPU usually come."""
    if stated is not None:
        return stated, ()
    if gpu.network_gbit_per_s is None:
        usual, why = PLAIN_NETWORK_GBIT_PER_S, f"because none is known for nodes of {gpu.name}"
    else:
        usual = gpu.network_gbit_per_s * gpus_per_node
        why = f"as nodes of {gpu.name} usually have ({gpu.network_gbit_per_s:,g} a GPU)"
    return usual, (f"the network is not stated: {usual:,g} Gbit/s a node are taken, {why}",)


def most_used(stated: int | tuple[int, ...], gpu: GpuFacts, gpus: int, field: str) -> int:
    """Memory that other processes hold on the GPU with the least free, MiB.

    Args:
        gpus: of a node that may be used.

    Raises:
        ProblemError: another number of figures than GPUs, or nothing left.
    """
    if isinstance(stated, tuple) and len(stated) != gpus:
        raise ProblemError(field, f"{len(stated)} figures for {gpus} GPUs; state one for each, or one for all")
    most = max(stated) if isinstance(stated, tuple) else stated
    if most >= gpu.process_mib:
        raise ProblemError(field, f"{most:,} MiB leaves nothing of the {gpu.process_mib:,} MiB of {gpu.name}")
    return most


def known_capability(gpu: GpuFacts) -> GpuFacts:
    """Facts stated inline, with the compute capability of the catalog's card of the same name where none is stated."""
    if gpu.compute_capability is not None:
        return gpu
    try:
        known = catalog.entry("gpus", gpu.name).get("compute_capability")
    except KeyError:
        return gpu
    return gpu.model_copy(update={"compute_capability": known})


def nvlink_domain(gpu: GpuFacts, per_node: int, nvlink: float | None, domain: int | None) -> int:
    """GPUs that reach each other over NVLink, from what is stated of the GPU and of the node.

    Args:
        per_node: GPUs of the node.
        nvlink: ``nvlink_gb_per_s`` of the node as stated; None: not stated.
        domain: ``nvlink_domain_gpus`` of the node as stated; None: not stated.
    """
    if domain is not None:
        return domain
    if (gpu.nvlink_gb_per_s if nvlink is None else nvlink) == 0:
        return 1
    if gpu.nvlink_domain_gpus > gpu.gpus_per_node:
        return gpu.nvlink_domain_gpus  # a rack-scale domain spans nodes
    if 1 < gpu.nvlink_domain_gpus < gpu.gpus_per_node:
        return min(gpu.nvlink_domain_gpus, per_node)  # pairs stay pairs, whatever the node holds
    if gpu.nvlink_domain_gpus == 1 and nvlink is None:
        return 1
    return per_node


def resolve_model(stated: str | dict[str, Any], folder: Path, field: str = "model") -> ModelFacts:
    """The model by catalog name, by the path of a config.json, or from its contents; ``field`` names it in messages."""
    if isinstance(stated, dict):
        served = _text(stated, "huggingface_id", "")
        if "config" in stated:
            return _model_beside(stated, folder, served)
        config = {k: v for k, v in stated.items() if k not in {"name", "huggingface_id"}}
        return model_from_config(config, name=_text(stated, "name", "inline model"), huggingface_id=served)
    if local_files.are_refused():
        if "\\" in stated or stated.startswith((".", "/", "~")) or stated.endswith((".json", ".yaml", ".yml")):
            local_files.refuse(field, "a name of optimizer catalog models, or the contents of a config.json")
        return catalog.model(stated, field)
    try:
        path = Path(stated)
        path = path if path.is_absolute() or stated.startswith("~") else folder / path
        path = path.expanduser()
        looks_like_path = stated.endswith((".json", ".yaml", ".yml")) or stated.startswith((".", "/", "~"))
        is_folder = path.is_dir()
        is_path = looks_like_path or is_folder or path.is_file()
    except (OSError, RuntimeError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ProblemError(
            field, f"{shown(stated)} is neither a model's name nor a path that can be read ({said})"
        ) from None
    if is_path:
        return model_at(path, field)
    return catalog.model(stated, field)


def _model_beside(stated: dict[str, Any], folder: Path, served: str) -> ModelFacts:
    """A config file with what the person states beside it: ``{config: PATH, architecture: like-llama}``."""
    unknown = sorted(set(stated) - {"config", "architecture", "name", "huggingface_id"})
    if unknown:
        raise ProblemError(f"model.{unknown[0]}", "is no key beside config; architecture, name and huggingface_id are")
    local_files.refuse("model.config", "state the contents of the config.json as model")
    path = paths.beside(_text(stated, "config", ""), folder, "model.config")
    said = {key: _text(stated, key, "") for key in ("architecture", "name")}
    return model_at(path, **said, huggingface_id=served)


def _text(stated: dict[str, Any], key: str, default: str) -> str:
    """A name of an inline model."""
    value = stated.get(key)
    if value is None or value == "":
        return default
    if not isinstance(value, str):
        raise ProblemError(f"model.{key}", f"{shown(value)} is not text; write it in quotes")
    try:
        return name_of(value)
    except ValueError as error:
        raise ProblemError(f"model.{key}", str(error)) from None


BRANCHES = frozenset({"str", "constrained-int", "LengthLaw"})
"""Names that pydantic gives to the branches of a union: no keys."""


def first_error(
    error: ValidationError, values: Any, schema: Any = ProblemFile, what: str = "the problem file"
) -> ProblemError:
    """The first of pydantic's findings as one sentence: field, value, what would be right, and the line in a YAML file.

    Args:
        values: what was validated, or the ``Document`` that it is from.
        what: whose fields they are.
    """
    found = error.errors(include_url=False)
    # Of a number or a mapping, a mapping that was given is what is to be put right.
    found = [one for one in found if not (one["type"] == "int_type" and isinstance(one["input"], Mapping))] or found
    # In a union ("a name or the facts inline") the branch that fits the given shape is the one to report.
    detail = max(found, key=lambda item: len(_path(item["loc"], values)))
    inner = detail.get("ctx", {}).get("error")
    named = (inner.field,) if isinstance(inner, ProblemError) else ()
    field = ".".join((*_path(detail["loc"], values), *named))
    line = values.line(field) if isinstance(values, Document) else None
    said = inner.message if isinstance(inner, ProblemError) else error_sentence(detail, schema, what)
    return ProblemError(field, f"{said} (line {line})" if line else said)


def error_sentence(detail: Any, schema: Any, what: str = "the problem file") -> str:
    """One of pydantic's findings in words: the value, and what would be right."""
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"is not a field of {what}; {what_is_one(detail['loc'], schema)}"
    if kind == "missing":
        return "is missing"
    if kind == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        return f"{value} is not a finite number"
    if kind in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}:
        bound = next(iter(context.values()))
        words = {
            "greater_than": "above",
            "greater_than_equal": "at least",
            "less_than": "below",
            "less_than_equal": "at most",
        }
        return f"{shown(value)} is not allowed; it must be {words[kind]} {bound:,}"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    if kind in {"int_type", "int_parsing", "int_from_float", "float_type", "float_parsing"}:
        wanted = "a whole number" if kind.startswith("int") else "a number"
        meant = said_of_number(value)
        return f"{shown(value)} is not {wanted}" + (f"; {meant}" if meant else "")
    if kind == "string_type":
        return f"{shown(value)} is not text; write it in quotes"
    if kind == "literal_error":
        return f"{shown(value)} is not known; use {context.get('expected')}"
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return f"{shown(value)} is not allowed; a mapping of fields is needed"
    if kind in {"tuple_type", "list_type"}:
        return f"{shown(value)} is not allowed; a list is needed"
    if kind == "too_short":
        return "is empty; name at least one, or leave it out"
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return f"{shown(value)} is not allowed: {message}"


def _path(location: tuple[int | str, ...], values: Any) -> list[str]:
    """The part of pydantic's location that exists in the input (union branch names dropped)."""
    path: list[str] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        inside = isinstance(values, Mapping) and part in values
        if inside or (isinstance(values, list | tuple) and isinstance(part, int) and part < len(values)):
            values = values[part]
        elif not (last and isinstance(values, Mapping) and not str(part).endswith("]") and part not in BRANCHES):
            continue
        path.append(str(part))
    return path
