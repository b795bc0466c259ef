"""Launch commands of every engine, in code blocks, code spans and running text, are held against what the engine knows and the problem."""

from __future__ import annotations

import pytest

from optimizer.auditing import audit
from optimizer.reading.load import problem_from_dict

PROBLEM = {
    "engine": "trtllm",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 8, "internode_gbit_per_s": 400},
    "model": "llama3.1-405b-fp8",
    "workload": {"prompt_tokens": 1000, "output_tokens": 500, "requests_per_s": 2},
    "requirements": {"max_batch": 64, "max_sequence_tokens": 16384, "gpu_memory_utilization": 0.9},
}
MODEL = "nvidia/Llama-3.1-405B-Instruct-FP8"
SERVE = f"trtllm-serve {MODEL} --tp_size 8 --pp_size 2"


def judged(line: str) -> tuple[set[str], str]:
    result = audit(f"We propose TP8-PP2-DP1.\n\n{line}\n", problem_from_dict(PROBLEM))
    claims = [claim for claim in result.claims if claim.line > 1]
    return {claim.verdict for claim in claims}, " ".join(claim.reason for claim in claims)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"trtllm-serve {MODEL} --tp_size 4 --pp_size 2", "tensor parallelism is 8, not 4"),
        (f"{SERVE} --max_num_seqs 64", "did you mean --max_batch_size"),
        (f"{SERVE} --max_model_len 16384", "did you mean --max_seq_len"),
        (f"{SERVE} --max_batch_size 128", "at most 64 sequences"),
        (f"{SERVE} --max_seq_len 262144", "at most 131,072 tokens"),
        (f"{SERVE} --max_seq_len 8192", "up to 16,384 tokens"),
        (f"{SERVE} --kv_cache_free_gpu_memory_fraction 1.2", "at most 1"),
        (f"{SERVE} --gpus_per_node 4", "A node has 8 GPUs"),
        (f"{SERVE} --backend triton", "takes one of"),
        (f"{SERVE} --max_beam_width 4", "costs performance"),
        (f"vllm serve {MODEL} --tensor-parallel-size 8 --max-running-requests 64", "did you mean --max-num-seqs"),
        (f"python -m sglang.launch_server --model-path {MODEL} --tp 8 --pp-size 2 --max-model-len 16384", "--context-length"),
    ],
)  # fmt: skip
def test_wrong_settings_are_found(command: str, words: str) -> None:
    verdicts, reasons = judged(f"```\n{command}\n```")
    assert verdicts & {"refuted", "contradicted"} and words in reasons, reasons


@pytest.mark.parametrize("text", ["Start it with `{}`.", "- Launch: {}", "- {}"])
def test_commands_in_running_text_are_read_too(text: str) -> None:
    verdicts, reasons = judged(text.format(f"{SERVE} --max_batch_size 128"))
    assert "refuted" in verdicts and "at most 64 sequences" in reasons


@pytest.mark.parametrize(
    "command",
    [
        f"{SERVE} --max_batch_size 64 --max_seq_len 16384 --kv_cache_free_gpu_memory_fraction 0.9",
        f"trtllm-serve serve {MODEL} --tp_size 8 --pp_size 2 --max_num_tokens 8192 --host 0.0.0.0 --port 8000",
        f"mpirun -n 16 --hostfile hosts trtllm-llmapi-launch {SERVE} --gpus_per_node 8",
        f"srun --mpi=pmix -N 2 trtllm-llmapi-launch {SERVE} --extra_llm_api_options extra.yaml",
        "trtllm-serve disaggregated --config pools.yaml",
        "llama-server -m model.gguf --ctx-size 8192 --parallel 96 --n-gpu-layers 80",
    ],
)
def test_right_commands_and_those_of_other_programs_are_not_accused(command: str) -> None:
    for line in (f"```\n{command}\n```", f"Start it with `{command}`."):
        verdicts, reasons = judged(line)
        assert not verdicts & {"refuted", "contradicted"}, (line, reasons)
