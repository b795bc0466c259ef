"""From a problem file (YAML or JSON) to a checked ``Problem``; every refusal is one ``ProblemError``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from optimizer.catalog import lookup as catalog
from optimizer.catalog.instances import nodes_stated
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.engines.sixteen_bit import served_on
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.demand import Objective, Requirements, SearchLimits
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.file import HardwareInput, ProblemFile
from optimizer.facts.hardware import GpuFacts, HardwareFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LARGEST_FILE_BYTES = 16 * 1024 * 1024


def load_problem(path: str | Path) -> Problem:
    """Read, check and resolve a problem file.

    Args:
        path: a YAML or JSON file; relative model paths in it are relative to the file.

    Raises:
        ProblemError: the file is missing, not readable, malformed, or states something impossible.
    """
    file = Path(path)
    return problem_from_dict(read_mapping(file, str(path)), default_name=file.stem, folder=file.parent)


def read_mapping(file: Path, field: str) -> dict[str, Any]:
    """The mapping in a YAML or JSON file.

    Raises:
        ProblemError: no such file, a directory, not text, malformed, or not a mapping.
    """
    if file.is_dir():
        raise ProblemError(field, "is a directory; a YAML or JSON file is needed")
    try:
        if file.stat().st_size > LARGEST_FILE_BYTES:
            raise ProblemError(field, "is larger than 16 MiB; that is no problem file or config.json")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProblemError(field, "no such file") from None
    except UnicodeDecodeError:
        raise ProblemError(field, "is not a UTF-8 text file") from None
    except (OSError, ValueError) as error:
        raise ProblemError(field, f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        values = json.loads(text) if file.suffix.lower() == ".json" else yaml.load(text, Loader=_Loader)
    except json.JSONDecodeError as error:
        raise ProblemError(
            field, f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ProblemError(
            field, f"is not valid YAML: {getattr(error, 'problem', None) or 'unreadable'}{where}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise ProblemError(field, f"cannot be parsed ({error})") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise ProblemError(field, f"holds {found}; a mapping with hardware, model, workload and requirements is needed")
    return values


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
        raise ProblemError(
            "cluster", "states an inventory, which solve, check, graph and deploy take; here state hardware"
        )
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
    model = served_on(model, stated.engine, [hardware.gpu])
    try:
        problem = Problem(
            name=stated.name or default_name,
            engine=stated.engine,
            hardware=hardware,
            model=model,
            workload=stated.workload,
            requirements=stated.requirements,
            objective=objective,
            search=stated.search,
        )
    except ValidationError as error:
        raise first_error(error, values) from None
    refuse_impossible_context(problem.model, problem.requirements, problem.search)
    return problem


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


def resolve_hardware(stated: HardwareInput) -> HardwareFacts:
    """Hardware as stated, with what is left out taken from the catalog entry of the GPU."""
    gpu = known_capability(stated.gpu) if isinstance(stated.gpu, GpuFacts) else catalog.gpu(stated.gpu)
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
    defaults = catalog.failure_defaults()
    overrides = {k: v for k, v in stated.failures.model_dump().items() if v is not None}
    return HardwareFacts(
        gpu=gpu,
        nodes=stated.nodes,
        gpus_per_node=per_node,
        nvlink_gb_per_s=nvlink,
        nvlink_domain_gpus=domain,
        pcie_gb_per_s=gpu.pcie_gb_per_s if stated.pcie_gb_per_s is None else stated.pcie_gb_per_s,
        internode_gbit_per_s=stated.internode_gbit_per_s,
        internode_latency_us=stated.internode_latency_us,
        host_memory_gb=stated.host_memory_gb,
        cpu_cores=stated.cpu_cores,
        price_per_gpu_hour=stated.price_per_gpu_hour,
        failures=defaults.model_copy(update=overrides),
    )


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


def resolve_model(stated: str | dict[str, Any], folder: Path) -> ModelFacts:
    """The model by catalog name, by the path of a config.json, or from its contents."""
    if isinstance(stated, dict):
        config = {k: v for k, v in stated.items() if k not in {"name", "huggingface_id"}}
        return model_from_config(
            config, name=str(stated.get("name", "inline model")), huggingface_id=str(stated.get("huggingface_id", ""))
        )
    path = Path(stated)
    path = path if path.is_absolute() else folder / path
    looks_like_path = stated.endswith((".json", ".yaml", ".yml")) or stated.startswith((".", "/", "~"))
    if looks_like_path or path.is_file() or path.is_dir():
        path = path.expanduser() / "config.json" if path.is_dir() else path.expanduser()
        name = path.stem.removesuffix("_config") if path.stem != "config" else path.parent.name or "model"
        return model_from_config(read_mapping(path, "model"), name=name)
    return catalog.model(stated)


def first_error(error: ValidationError, values: Any, schema: Any = ProblemFile) -> ProblemError:
    """The first of pydantic's findings as one sentence: field, value, what would be right."""
    found = error.errors(include_url=False)
    # In a union ("a name or the facts inline") the branch that fits the given shape is the one to report.
    detail = max(found, key=lambda item: len(_path(item["loc"], values)))
    field = ".".join(_path(detail["loc"], values))
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_fields(detail["loc"][:-1], schema)
        hint = closest(str(detail["loc"][-1]), known) if known else "remove it"
        return ProblemError(field, f"is not a field of the problem file; {hint}")
    if kind == "missing":
        return ProblemError(field, "is missing")
    if kind == "finite_number" or (isinstance(value, float) and not math.isfinite(value)):
        return ProblemError(field, f"{value} is not a finite number")
    if kind in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}:
        bound = next(iter(context.values()))
        words = {
            "greater_than": "above",
            "greater_than_equal": "at least",
            "less_than": "below",
            "less_than_equal": "at most",
        }
        return ProblemError(field, f"{value} is not allowed; it must be {words[kind]} {bound:,}")
    if kind == "value_error":
        return ProblemError(field, str(context.get("error", detail["msg"])))
    if kind in {"int_type", "int_parsing", "int_from_float"}:
        return ProblemError(field, f"{_short(value)} is not a whole number")
    if kind in {"float_type", "float_parsing"}:
        return ProblemError(field, f"{_short(value)} is not a number")
    if kind == "literal_error":
        return ProblemError(field, f"{_short(value)} is not known; use {context.get('expected')}")
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return ProblemError(field, f"{_short(value)} is not allowed; a mapping of fields is needed")
    if kind == "too_short":
        return ProblemError(field, "is empty; name at least one, or leave it out")
    message = detail["msg"][0].lower() + detail["msg"][1:]
    return ProblemError(field, f"{_short(value)} is not allowed: {message}")


def _path(location: tuple[int | str, ...], values: Any) -> list[str]:
    """The part of pydantic's location that exists in the input (union branch names dropped)."""
    path: list[str] = []
    for position, part in enumerate(location):
        last = position == len(location) - 1
        inside = isinstance(values, Mapping) and part in values
        if inside or (isinstance(values, list | tuple) and isinstance(part, int) and part < len(values)):
            values = values[part]
        elif not (last and isinstance(values, Mapping) and not str(part).endswith("]") and part != "str"):
            continue
        path.append(str(part))
    return path


def _known_fields(location: tuple[int | str, ...], schema: Any) -> list[str]:
    """Field names allowed at a location of the problem file."""
    current: Any = schema
    for part in location:
        if isinstance(part, str) and part in {"GpuFacts", "Objective"}:
            current = GpuFacts if part == "GpuFacts" else Objective
            continue
        fields = getattr(current, "model_fields", {})
        if part not in fields:
            return []
        annotation = fields[part].annotation
        current = annotation if hasattr(annotation, "model_fields") else current
    return list(getattr(current, "model_fields", {}))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
