"""Add a figure to the report: its derivation, and where it is printed. The audit judges claims about it without more."""

from __future__ import annotations

from scripts.recipes.recipe import Recipe, replaced

DERIVED = '''def _compute(subject: Subject) -> None:
    """The share of the GPUs' peak that useful matrix products use."""
    slots, replicas = subject.strategy.max_num_seqs, subject.strategy.data_parallel
    subject.ledger.derive(
        "slots-in-all", "Sequences of all replicas together", "DP × max_num_seqs",
        f"{replicas} × {slots} sequences", replicas * slots, "sequences",
    )  # fmt: skip
'''
TEST = """
from optimizer import Fixed, check, problem_from_dict, report

STATED = {
    "name": "n",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 1},
}


def test_the_figure_is_printed_with_its_derivation() -> None:
    problem = problem_from_dict(STATED)
    written = report(problem, check(problem, Fixed(1, 1, 2, max_num_seqs=8)))
    assert "16 sequences" in str(written)
"""
RECIPE = Recipe(
    "a metric in the report",
    4,
    {
        "optimizer/reporting/derive/throughput.py": replaced(
            'def _compute(subject: Subject) -> None:\n    """The share of the GPUs\' peak that useful matrix products use."""\n',
            DERIVED,
        ),
        "optimizer/reporting/sections/throughput.py": replaced(
            '" of the 16-bit peak of the GPUs in use."]\n',
            '" of the 16-bit peak of the GPUs in use."]\n    said += [" In all: ", ledger.figure("slots-in-all"), "."]\n',
        ),
    },
    TEST,
    ("tests/report/test_derivations.py",),
)
