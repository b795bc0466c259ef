"""A checkpoint on this machine: its config.json, the files beside it that say more, and its tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optimizer.checkpoints.headers import check
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.paths import is_file, is_folder
from optimizer.facts.text import name_from_path, shown
from optimizer.reading.files import read_mapping


def model_at(path: Path, field: str = "model", **stated: Any) -> ModelFacts:
    """The model of a config file, or of a folder with its config, ``hf_quant_config.json`` and tensors.

    Args:
        path: the file or the folder.
        field: what error messages call it.
        stated: values that the person states beside the file (``architecture``, ``name``, ``huggingface_id``).

    Raises:
        ProblemError: a file cannot be read, the model is not known, or its tensors do not fit the config.
    """
    folder = path if is_folder(path) else path.parent
    file = path / "config.json" if is_folder(path) else path
    if is_folder(path) and not is_file(file):
        raise ProblemError(field, f"{shown(str(path))} holds no config.json, so nothing says how its tensors are read")
    # Files saved by transformers hold limits such as Infinity; a size that is none is refused where it is read.
    values = {
        **read_mapping(file, field, endless=True),
        **{k: v for k, v in stated.items() if k == "architecture" and v},
    }
    alone = file.name != "config.json"
    # Several configs in one folder stand under names before ``_config.json``; so does what belongs to each.
    beside = folder / f"{file.name.removesuffix('config.json')}hf_quant_config.json"
    if file.name.endswith("config.json") and is_file(beside) and not values.get("quantization_config"):
        values["hf_quant_config"] = read_mapping(beside, beside.name)
    from_path = file.stem.removesuffix("_config") if alone else folder.resolve().name
    name = str(stated.get("name") or "") or name_from_path(from_path, field)
    model = model_from_config(values, name=name, huggingface_id=str(stated.get("huggingface_id") or ""), field=field)
    compared = None if alone else check(model, folder, field)
    if compared is None:
        return model
    return model.model_copy(update={"notes": (*model.notes, f"checked against the tensors: {compared}")})
