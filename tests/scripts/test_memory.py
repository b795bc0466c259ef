"""Predictions of what engines printed about memory. The figures are those of public issues, named in each row."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scripts import memory
from scripts.memory import left_out

COLUMNS = (
    "case", "source", "model", "gpu", "tp", "pp", "dp", "kv dtype", "weights", "util", "max_model_len", "measured quantity",
    "measured value", "note",
)  # fmt: skip
ROWS = """\
a|vllm-project/vllm#17122|llama3.1-8b|l40s-48gb|1|1|1|bf16|bf16|0.9|32768|KV tokens that fit|158656|V1 0.8
b|vllm-project/vllm#10517|llama3.1-8b|rtx3090-24gb|1|1|1|bf16|bf16|0.9|20000|weights GiB/GPU|14.9888|V0 0.6.4: batched tokens = 20000
b|vllm-project/vllm#10517|llama3.1-8b|rtx3090-24gb|1|1|1|bf16|bf16|0.9|20000|peak activation GiB|2.07|V0 0.6.4: batched tokens = 20000
b|vllm-project/vllm#10517|llama3.1-8b|rtx3090-24gb|1|1|1|bf16|bf16|0.9|20000|KV tokens that fit|31232|V0 0.6.4: batched tokens = 20000
c|vllm-project/vllm#10517|llama3.1-8b|rtx3090-24gb|1|1|1|bf16|bf16|0.9|29000|fits (one sequence of max-model-len)|no|V0 0.6.4: batched tokens = 29000
d|vllm-project/vllm#2031|llama2-7b|a100-sxm-80gb|1|1|1|fp16|fp16|0.9|4096|KV tokens that fit|117616|V0 0.2.5
e|vllm-project/vllm#21348|qwen3-235b-a22b|h100-sxm-80gb|4|1|1|bf16|fp8|0.9|40960|KV tokens that fit|178880|V1 0.9
f|vllm-project/recipes#12|qwen3-coder-480b-a35b|h20-3e-141gb|1|1|8|bf16|fp8|0.9|262144|KV memory GiB/GPU|48.66|V1 0.10; DP8+EP
f|vllm-project/recipes#12|qwen3-coder-480b-a35b|h20-3e-141gb|1|1|8|bf16|fp8|0.9|262144|KV GiB one full-length request needs per GPU|62.0|V1 0.10; DP8+EP
g|vllm-project/recipes#115|kimi-k2|h200-sxm-141gb|8|1|1|bf16|int4|0.9|131072|KV tokens that fit|715072|Kimi-K2-Thinking: int4 experts
h|vllm-project/vllm#33155|gpt-oss-120b|h100-sxm-80gb|1|1|1|bf16|mxfp4|0.95|131072|weights GiB/GPU|64.38|V1 0.14.1
i|vllm-project/vllm#6746|llama3.1-405b|h100-sxm-80gb|8|1|1|bf16|fp8|0.9|131072|weights GiB/GPU|57.752|V0 0.5.3
i|vllm-project/vllm#6746|llama3.1-405b|h100-sxm-80gb|8|1|1|bf16|fp8|0.9|131072|KV tokens that fit|79392|V0 0.5.3
i|vllm-project/vllm#6746|llama3.1-405b|h100-sxm-80gb|8|1|1|bf16|fp8|0.9|131072|fits (one sequence of max-model-len)|no|V0 0.5.3
m|Graph-COM/SubgraphRAG#19|llama3.1-8b|rtx3090-24gb|1|1|1|bf16|bf16|0.9|131072|KV tokens that fit|39024|V0
n|vllm-project/vllm#44376|deepseek-v4-flash|gh200-96gb|2|1|1|fp8|nvfp4|0.95|30000|KV memory GiB/GPU|5.44|2 GH200
o|vllm-project/vllm#32105|glm-4.6|h100-sxm-80gb|1|8|1|bf16|fp8|0.925|202752|fits (one sequence of max-model-len)|no|V1 0.15rc1; PP8
r|vllm-project/vllm#23278|gpt-oss-120b|h100-sxm-80gb|1|1|1|bf16|mxfp4|0.9|131072|weights GiB/GPU|65.9651|V1 0.10
r|vllm-project/vllm#23278|gpt-oss-120b|h100-sxm-80gb|1|1|1|bf16|mxfp4|0.9|131072|fits (one sequence of max-model-len)|no|V1 0.10
q|vllm-project/vllm#5993|qwen2.5-72b|gpu-22gb|4|1|1|bf16|int8|0.98|4096|weights GiB/GPU|17.9828|Qwen2-72B GPTQ 8-bit; weights only
j|vllm-project/vllm#15676|gemma3-27b (inline config)|l40s-48gb|4|1|1|bf16|bf16|0.9|32768|weights GiB/GPU|13.1665|V1 0.8.2
k|vllm-project/vllm#13882|qwen2.5-7b|rtx4060-8gb|1|1|1|bf16|int4|0.7|4096|peak activation GiB|1.42|V0 0.7
t|vllm-project/vllm#13061|qwen2.5-14b|rtx4090-24gb|2|1|1|bf16|bf16|0.98|131072|weights GiB/GPU|13.9476|V0 0.7.2; R1-Distill-Qwen-14B: gaps behind tensors
u|vllm-project/vllm#14447|deepseek-r1|rtx3090-24gb|16|1|1|bf16|int4|0.99|8192|weights GiB/GPU|21.21|V0 0.8; R1 AWQ: copies of latent attention
v|llm-d-incubation/llm-d-planner|qwen2.5-7b|h100-sxm-80gb|1|1|1|bf16|bf16|0.95|8192|weights GiB/GPU|14.25|V1 0.19.0
w|llm-d-incubation/llm-d-planner|llama3.1-8b|h100-sxm-80gb|1|4|1|bf16|bf16|0.95|8192|weights GiB/GPU|4.26|V1 0.19.0; first stage
k|vllm-project/vllm#13882|qwen2.5-7b|rtx4060-8gb|1|1|1|bf16|int4|0.7|4096|fits (one sequence of max-model-len)|no|V0 0.7
l|vllm-project/vllm#5711|llama3-70b|a100-sxm-80gb|1|1|1|bf16|bf16|0.9|8192|fits (one sequence of max-model-len)|no|bf16
"""  # noqa: E501
WITHIN = {"weights GiB/GPU": 0.004, "KV tokens that fit": 0.06, "KV memory GiB/GPU": 0.06, "peak activation GiB": 0.03}


def rows() -> list[dict[str, str]]:
    return [dict(zip(COLUMNS, line.split("|"), strict=True)) for line in ROWS.splitlines()]


@pytest.mark.parametrize("row", memory.predict(rows()), ids=lambda row: f"{row['case']}-{row['measured quantity']}")
def test_predictions_agree_with_what_was_printed(row: dict[str, str]) -> None:
    assert not row["why not"]
    if row["measured value"] in ("yes", "no"):
        assert row["predicted value"] == row["measured value"]
        return
    measured = float(row["measured value"])
    assert float(row["predicted value"]) == pytest.approx(measured, rel=WITHIN.get(row["measured quantity"], 0.01))


def starts_in(name: str, cases: int) -> list[dict[str, str]]:
    """The rows of a file of starts that stand so many cases in it."""
    with (Path(__file__).parent / "data" / name).open(newline="", encoding="utf-8") as stream:
        every = list(csv.DictReader(stream))
    assert tuple(every[0]) == COLUMNS and len({row["case"] for row in every}) == cases
    return every


def test_kinds_of_starts_that_the_fit_did_not_see() -> None:
    """A slice of data/memory_logs_third.csv, whose figures were written down before they were predicted: other cards, GPTQ, SGLang
    (which reads the device), linear attention, an unequal pipeline, versions of vLLM 0. Tokens and memory within 5 percent."""
    cases = ("j02", "j03", "j06", "j11", "j26", "j27", "j28", "j31", "j33", "j34")
    within = {"weights GiB/GPU": 0.002, "peak activation GiB": 0.05}
    for row in memory.predict([row for row in starts_in("memory_logs_third.csv", 26) if row["case"] in cases]):
        if row["measured value"] in ("yes", "no"):
            assert row["predicted value"] == row["measured value"]
            continue
        found, printed = float(row["predicted value"]), float(row["measured value"])
        assert found == pytest.approx(printed, rel=within.get(row["measured quantity"], 0.05)), row


def test_kinds_of_starts_of_the_fourth_look() -> None:
    """A slice of data/memory_logs_fourth.csv: dense models in vLLM's second runner, V100 to H200, RTX
    PRO 6000 and MI300X, AWQ, fp8 with latent attention, an fp8 cache. Tokens and memory within 5 percent, weights within half of one."""
    cases = ("k01", "k02", "k04", "k05", "k08", "k09", "k10", "k17", "k19", "k20", "k23", "k24", "k30")
    for row in memory.predict([row for row in starts_in("memory_logs_fourth.csv", 34) if row["case"] in cases]):
        if row["measured value"] in ("yes", "no"):
            assert row["predicted value"] == row["measured value"]
            continue
        found, printed = float(row["predicted value"]), float(row["measured value"])
        assert found == pytest.approx(printed, rel=0.005 if row["measured quantity"].startswith("weights") else 0.05), (
            row
        )


def test_kinds_of_starts_of_the_last_look() -> None:
    """A slice of data/memory_logs_fifth.csv: defaults of 0.8.4, two nodes of GH200, AWQ, a Radeon, SGLang, an RTX 2060 in vLLM 0."""
    cases = ("l01", "l04", "l06", "l07", "l08", "l10", "l11", "l17", "l18")
    for row in memory.predict([row for row in starts_in("memory_logs_fifth.csv", 22) if row["case"] in cases]):
        if row["measured value"] in ("yes", "no"):
            assert row["predicted value"] == row["measured value"]
            continue
        found, printed = float(row["predicted value"]), float(row["measured value"])
        rel = 0.03 if row["measured quantity"].startswith("weights") else 0.04
        assert found == pytest.approx(printed, rel=rel, abs=0.06), row


def test_a_vision_tower_of_the_catalog_is_loaded_unless_its_images_are_off() -> None:
    """Qwen3.6-35B-A3B in 16 bit: 65.53 GiB with its tower, 64.69 without."""
    for row in memory.predict([row for row in starts_in("memory_logs_fifth.csv", 22) if row["case"] in ("l15", "l16")]):
        assert float(row["predicted value"]) == pytest.approx(float(row["measured value"]), abs=0.02), row


def test_scales_of_experts_that_stay_in_float32() -> None:
    """DeepSeek-V4-Pro in SGLang on Hopper: 19 % more weights than its checkpoint has, so that it does not start."""
    weights, start = memory.predict([row for row in starts_in("memory_logs.csv", 46) if row["case"] == "h43"])
    assert float(weights["predicted value"]) == pytest.approx(float(weights["measured value"]), rel=0.02)
    assert start["predicted value"] == start["measured value"] == "no"


def test_versions_of_the_engine_differ_as_logs_do() -> None:
    """A slice of the starts in data/memory_logs.csv: by version, GPUs that work together, experts, GPU class."""
    every = starts_in("memory_logs.csv", 46)
    chosen = [row for row in every if row["case"] in ("h02", "h10", "h11", "h12", "h22", "h37", "h38")]
    for row in memory.predict(chosen):
        if row["measured value"] in ("yes", "no"):
            assert row["predicted value"] == row["measured value"]
            continue
        off = float(row["predicted value"]) - float(row["measured value"])
        assert abs(off) < max(0.05, 0.005 * float(row["measured value"])), row


def test_the_command_writes_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs, out = tmp_path / "logs.csv", tmp_path / "out.csv"
    unknown = {**rows()[0], "model": "no-such-model"}
    with logs.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows([rows()[1], unknown])
    assert memory.main(["--logs", str(logs), "--out", str(out)]) == 0
    with out.open(newline="") as stream:
        written = list(csv.DictReader(stream))
    assert written[0]["predicted value"] == "14.9888"
    assert "no-such-model" in written[1]["why not"]
    assert "1 of 2 rows predicted" in capsys.readouterr().out


def test_what_a_case_does_not_state_is_not_predicted() -> None:
    lines = (
        "a|vllm-project/recipes#810|qwen3.5-27b|rtx5090-32gb|2|1|1|fp8|fp8|0.9|262144|KV tokens that fit|377456|V1 0.26; util not stated",
        "b|sgl-project/sglang#1|llama3.1-8b|l4-24gb|1|1|1|bf16|bf16|0.9|8192|KV memory GiB/GPU|3|SGLang; mem fraction not stated",
        "c|x|qwen3.5-27b|rtx-a6000-48gb|1|1|1|fp8|nvfp4|0.9|131072|weights GiB/GPU|19.75|Qwen3.8-27B NVFP4",
        "d|vllm-project/vllm#2382|mixtral-8x7b|a100-sxm-80gb|2|1|1|bf16|int4|0.5|32768|KV tokens that fit|103792|V0 0.2.7, AWQ",
        "e|vllm-project/vllm#2382|mixtral-8x7b|a100-sxm-80gb|2|1|1|bf16|int4|0.5|32768|weights GiB/GPU|11.6|V0 0.2.7, AWQ",
    )
    found = memory.predict([dict(zip(COLUMNS, line.split("|"), strict=True)) for line in lines])
    words = ("share of memory", "share of memory", "nvfp4", "one by one", "")
    assert all(word in row["why not"] and bool(row["why not"]) is not bool(row["predicted value"])
               for word, row in zip(words, found, strict=True))  # fmt: skip


def test_each_case_is_left_out_of_its_own_fit() -> None:
    said = left_out(memory.predict(rows()))
    assert said[0].startswith("leave-one-case-out, fits or not: ") and said[0].split()[4] == said[0].split()[6]
    worst = float(said[1].rsplit("worst ", 1)[1].split()[0])
    assert worst < 15
