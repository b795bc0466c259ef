"""Add a rule: stated in the contract, posted by the search, named in its group, and judged again by the verifier."""

from __future__ import annotations

from scripts.recipes.recipe import Recipe, after, both, replaced

FUNCTION = """

def whole_nodes_rule(problem: Problem) -> Rule:
    here = problem.hardware.gpus_per_node
    return yes_no(
        "whole_nodes",
        f"TP divides the {here} GPUs of a node, or whole nodes make up TP.",
        lambda quantities: (here % _tp(quantities) == 0) | (_tp(quantities) % here == 0),
        f"a divisor or a multiple of {here}",
        lambda quantities, row: f"TP {_tp(quantities)[row]}",
    )


def kv_heads_rule("""
TEST = """
from optimizer import Fixed, check, problem_from_dict

STATED = {
    "name": "n",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 6},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 1},
    "requirements": {"max_batch": 8},
}


def test_the_rule_holds_and_breaks_and_the_verifier_agrees() -> None:
    for tp, holds in ((2, True), (4, False)):
        answer = check(problem_from_dict(STATED), Fixed(tp, 1, 1))
        rule = next(rule for rule in answer.rules if rule.id == "whole_nodes")
        assert rule.holds is holds and answer.verification.passed, answer.verification.mismatches
"""
RECIPE = Recipe(
    "a rule",
    6,
    {
        "docs/model.md": after(
            "| `vocabulary` | TP divides the vocabulary padded to a multiple of 64 |\n",
            "| `whole_nodes` | TP divides the GPUs of a node, or is a multiple of them |\n",
        ),
        "optimizer/search/uniform/shape_rules.py": replaced("\n\ndef kv_heads_rule(", FUNCTION),
        "optimizer/search/uniform/rules.py": both(
            replaced("    vocabulary_rule,\n)", "    vocabulary_rule,\n    whole_nodes_rule,\n)"),
            after("        vocabulary_rule(problem),\n", "        whole_nodes_rule(problem),\n"),
        ),
        "optimizer/results/rule_groups.py": replaced(
            '"vocabulary", "experts"', '"vocabulary", "whole_nodes", "experts"'
        ),
        "optimizer/verify/common/rules.py": after(
            '    yield Finding("vocabulary", ceil_ratio(model.vocabulary, 64) * 64 % t == 0)\n',
            '    yield Finding("whole_nodes", hardware.gpus_per_node % t == 0 or t % hardware.gpus_per_node == 0)\n',
        ),
    },
    TEST,
    ("tests/search/test_rules.py",),
)
