"""Compose files by the Compose Specification: joint instances, pools, and both side by side, of every engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.deploy import beside_cases, cases, pool_cases

jsonschema = pytest.importorskip("jsonschema")

SCHEMA = yaml.safe_load((Path(__file__).parent / "data" / "compose.yaml").read_text())
WRITTEN: dict[str, Callable[[], dict[str, str]]] = {
    **{
        f"{case}, {engine}": lambda case=case, engine=engine: cases.files_of(case, engine, "compose")[0]
        for case in cases.CASES
        for engine in ("vllm", "sglang")
    },
    "two instances, trtllm": lambda: cases.files_of("two instances", "trtllm", "compose")[0],
    **{
        f"pools: {case}, {engine}": lambda case=case, engine=engine: pool_cases.files_of(case, engine, "compose")[0]
        for case in pool_cases.CASES
        for engine in ("vllm", "sglang")
    },
    **{
        f"beside: {case}, {engine}": lambda case=case, engine=engine: beside_cases.files_of(case, engine, "compose")
        for case in beside_cases.CASES
        for engine in ("vllm", "sglang")
    },
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=list(WRITTEN))
def test_files_are_of_the_specification_and_mount_what_is_there(written: Callable[[], dict[str, str]]) -> None:
    files = written()
    documents = [yaml.safe_load(text) for path, text in files.items() if path.startswith("compose-")]
    assert documents
    for document in documents:
        jsonschema.validate(document, SCHEMA)
        for service in document["services"].values():
            for volume in service["volumes"]:
                source = volume.split(":")[0]
                known = source in document["volumes"] or source.removeprefix("./") in files
                assert known, volume
            # Compose fills variables in where a dollar is not written twice.
            asked = service.get("healthcheck", {"test": []})["test"]
            words = [*service["entrypoint"], *service.get("command", ()), *asked]
            assert not [word for word in words if re.search(r"(?<!\$)\$(?!\$)", word.replace("$$", ""))]


def test_the_schema_refuses_what_is_not_in_the_specification() -> None:
    document = yaml.safe_load(pool_cases.files_of("nodes apart", "vllm", "compose")[0]["compose-node-0.yaml"])
    document["services"]["prefill-0"]["gpu_count"] = 4
    with pytest.raises(jsonschema.ValidationError, match="gpu_count"):
        jsonschema.validate(document, SCHEMA)
