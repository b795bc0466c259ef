"""Every engine says how it is started and what it prints, in figures that the reader of logs knows."""

from __future__ import annotations

from dataclasses import fields

import pytest

from optimizer.engines.printed import every_engine, printed_by
from optimizer.engines.registry import engine_of, measured_as, named
from optimizer.facts.engine_names import ENGINE_NAMES
from optimizer.reading.start_log import COUNTS, StartLog, start_log


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_figures_are_those_of_a_start_log(engine: str) -> None:
    known = printed_by(engine)
    assert known.started_by and known.figures
    assert set(known.figures) <= {one.name for one in fields(StartLog)}
    for name, patterns in known.figures.items():
        assert all(pattern.groups == 1 or name not in COUNTS for pattern in patterns)


def test_an_engine_without_a_file_prints_nothing_that_is_known() -> None:
    nothing = printed_by("unheard-of")
    assert (nothing.started_by, nothing.figures, nothing.read("Model loading took 3 GiB")) == ((), {}, {})


def test_a_mark_tells_engines_apart_and_else_the_figures_do() -> None:
    assert [one.engine for one in every_engine()] == list(ENGINE_NAMES)
    told = "vllm 0.9 is mentioned\nmem_fraction_static=0.8\nKV Cache is allocated. #tokens: 1000, K size: 1.5 GB, V size: 1.25 GB"
    log = start_log(told, "log")
    assert (log.engine, log.kv_tokens, log.kv_gib, log.version) == ("sglang", 1000, 2.75, None)
    assert start_log("GPU KV cache size: 1,024 tokens", "log").engine == "vllm"


def test_other_names_of_engines_in_measurements() -> None:
    assert named("tensorrt-llm") == "trtllm" and named("somebody's") == "somebody's"
    assert measured_as("somebody's") is None and measured_as("trtllm") is engine_of("trtllm")
