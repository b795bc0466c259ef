"""What a row depends on, as one hash: the problem as asked, the facts it resolves to, and the product that answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from optimizer.facts.paths import beside, is_file, is_folder
from optimizer.reading.stated import Stated
from optimizer.sweeps.points import Spec
from optimizer.sweeps.scenarios import applied
from optimizer.version import __version__

_PACKAGE = Path(__file__).parent.parent


@cache
def product() -> str:
    """Version and a hash of the product's code and data: any change of either is another product."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.suffix in (".py", ".yaml") and "__pycache__" not in path.parts:
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:16]}"


class Keys:
    """Hashes of the points of one sweep."""

    def __init__(self, stated: Stated, prices: Mapping[str, float], time_limit_s: float | None = None) -> None:
        self._stated, self._prices, self._time_limit_s = stated, prices, time_limit_s
        self._files: dict[str, str] = {}

    def of(self, spec: Spec) -> str:
        """The hash of a point, 32 hexadecimal digits."""
        values = applied(self._stated, dict(spec.changes))[0].values
        asked: dict[str, Any] = {
            "problem": values,
            "name": self._stated.default_name,
            "scenario": spec.name,
            "gpus": spec.gpus,
            "prices": dict(self._prices),
            "model": self._model_file(values.get("model")),
            "costs": self._stated.costs.model_dump(mode="json") if self._stated.costs is not None else None,
            "product": product(),
        }
        if self._time_limit_s is not None:
            asked["time_limit_s"] = self._time_limit_s
        text = json.dumps(asked, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _model_file(self, model: object) -> str | None:
        """The hash of the model's config.json, where the problem names one."""
        if not isinstance(model, str):
            return None
        if model not in self._files:
            path = beside(model, self._stated.folder, "model")
            path = path / "config.json" if is_folder(path) else path
            self._files[model] = hashlib.sha256(path.read_bytes()).hexdigest() if is_file(path) else ""
        return self._files[model]
