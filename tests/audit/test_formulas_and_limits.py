"""Notes written in formulas, and figures simply stated: what is right is never accused, what is wrong is found."""

import pytest

from optimizer import audit
from optimizer.reading.load import problem_from_dict

PROBLEM = {
    "hardware": {"gpu": "l40s-48gb", "gpus_per_node": 4, "nodes": 2, "price_per_gpu_hour": 1.2, "internode_gbit_per_s": 100},
    "model": "qwen3-8b",
    "workload": {"prompt_tokens": 1600, "output_tokens": 400, "requests_per_s": 5},
    "requirements": {"tpot_p99_ms": 50, "ttft_p99_ms": 2000, "max_batch": 64, "max_sequence_tokens": 16384},
}  # fmt: skip
PROPOSAL = "We run TP2 with four replicas (TP2·PP1·DP4).\n\n"


def verdicts(text):
    said = audit(PROPOSAL + text, problem_from_dict(PROBLEM))
    return {c.verdict for c in said.claims if c.line == 3}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("W = 2 B · 8.19·10⁹ ≈ 16.4 GB.", "2 · 8.19·10⁹ B = 26.4 GB."),
        ("cache(1 token) = 2 · 36 · 8 · 128 · 2 = 147,456.", "cache(1 token) = 2 · 36 · 8 · 128 · 2 = 294,912."),
        ("Query heads per group: 32 query heads / 8 KV heads = 4.", "32 query heads / 8 KV heads = 8."),
        ("Rent: 8 · 1.20 = 9.60 per hour.", "Rent: 8 · 1.20 = 12.60 per hour."),
        ("Payload: 1600 · 8192 B ≈ 13.1 MB.", "Payload: 1600 · 8192 B ≈ 26.2 MB."),
        ("La L40S est dépourvue de NVLink.", "La L40S dispose de NVLink."),
        ("The L40S is devoid of NVLink.", "The L40S has NVLink."),
    ],
)
def test_formulas_are_read_as_written(right, wrong):
    assert verdicts(right) == {"confirmed"}
    assert "refuted" in verdicts(wrong)


def test_operations_are_no_rate_of_a_card():
    assert "refuted" not in verdicts("A prompt costs 2 · 8.19·10⁹ · 1600 ≈ 26.2 TFLOP.")
    assert "refuted" in verdicts("Its dense BF16 peak is 990 TFLOPS.")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("For all later tokens we agreed on 50 ms at P99.", "For all later tokens we agreed on 20 ms at P99."),
        ("Input: 5/s · 1,600 · 60 s = 480,000 tokens a minute.", "Input: 5/s · 1,600 · 60 s = 48,000 tokens a minute."),
        ("Fällt eine Karte aus, bleiben drei Replikate in Betrieb.", "Fällt eine Karte aus, bleiben sieben Replikate in Betrieb."),
        ("Over a full day that adds up to 432,000 requests.", "Over a full day that adds up to 86,000 requests."),
    ],
)  # fmt: skip
def test_figures_simply_stated(right, wrong):
    assert verdicts(right) == {"confirmed"}
    assert "refuted" in verdicts(wrong)


COPIES = "Every server hosts one complete copy of the model, cut over its four cards.\n\n"


@pytest.mark.parametrize(("figure", "verdict"), [("4.1 GB", "confirmed"), ("2.05 GB", "refuted")])
def test_a_copy_on_every_server_tells_the_strategy(figure, verdict):
    said = audit(f"{COPIES}The weights occupy {figure} of each card.", problem_from_dict(PROBLEM))
    assert said.strategy == "TP4·PP1·DP2"
    assert verdict in {c.verdict for c in said.claims if c.line == 3}


COLUMNS = """| | A (proposed): TP2, four replicas | B: TP8, one replica |
|---|---|---|
| Weights per GPU | 8.2 GB | {} |
| Replicas left after a GPU failure | 3 of 4 | {} |

Option B, one engine across all cards:
"""


@pytest.mark.parametrize(
    ("cells", "lines"), [(("2.05 GB", "0 of 1"), set()), (("4.1 GB", "0 of 1"), {3}), (("2.05 GB", "1 of 1"), {4})]
)
def test_columns_that_name_their_strategies(cells, lines):
    said = audit(COLUMNS.format(*cells), problem_from_dict(PROBLEM))
    assert said.strategy == "TP2·PP1·DP4"
    assert {c.line for c in said.claims if c.verdict == "refuted"} == lines


def test_the_command_of_an_option_is_judged_as_that_option():
    command = "\n```\nvllm serve Qwen/Qwen3-8B --tensor-parallel-size {}\n```\n"
    for size, wrong in ((8, False), (2, True)):
        said = audit(COLUMNS.format("2.05 GB", "0 of 1") + command.format(size), problem_from_dict(PROBLEM))
        assert any(c.verdict == "contradicted" for c in said.claims) == wrong


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (
            "Node 1 costs 4.80 per hour, node 2 at 4.80, together 9.60.",
            "Node 1 costs 4.80 per hour, node 2 at 4.80, together 10.60.",
        ),
        (
            "The cards of one node may draw 1.4 kW, those of the other 1.4 kW, in total 2.8 kW.",
            "The cards of one node may draw 1.4 kW, those of the other 1.4 kW, in total 3.8 kW.",
        ),
        ("The layout occupies eight GPUs in all.", "The layout occupies twelve GPUs in all."),
    ],
)
def test_sums_of_parts_and_gpus_in_use(right, wrong):
    assert "confirmed" in verdicts(right)
    assert "refuted" not in verdicts(right)
    assert "refuted" in verdicts(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "Each card costs 1.20 per hour and each node 4.80, together 9.60.",
        "With a third node it would cost 9.60 per hour and 4.80, together 15.40.",
        "Its predecessor was older. This needs twelve cards.",
    ],
)
def test_what_may_be_several_times_is_no_sum(text):
    assert "refuted" not in verdicts(text)


def test_what_the_sentence_before_proposes_needs_its_gpus():
    for number, verdict in (("eight", "confirmed"), ("twelve", "refuted")):
        assert verdict in verdicts(f"Four replicas it is, each a TP2 pair (TP2, DP4). This needs {number} cards.")
