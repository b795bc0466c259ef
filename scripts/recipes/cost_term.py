"""Add a term of the time of a decode step: in the contract, in the costs, and on its own in the verifier and its graph check."""

from __future__ import annotations

from scripts.recipes.recipe import Recipe, after, replaced

TEST = """
from optimizer import Fixed, check, problem_from_dict

STATED = {
    "name": "n",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 1},
}


def test_the_term_is_part_of_the_step_and_the_verifier_agrees() -> None:
    answer = check(problem_from_dict(STATED), Fixed(1, 1, 1, max_num_seqs=8))
    assert answer.breakdown["decode_ms"]["token sampling"] > 0
    assert answer.verification.passed, answer.verification.mismatches
"""
RECIPE = Recipe(
    "a cost term",
    5,
    {
        "docs/model.md": replaced(
            "    step    = GEN · T_STEP + b · T_SEQUENCE ", "    step    = GEN · T_STEP + b · (T_SEQUENCE + 0.01 ms) "
        ),
        "optimizer/costs/steps.py": after(
            '"step overhead": np.where(last, self.generation * c.t_step + b * c.t_sequence, 0.0),\n',
            '            "token sampling": np.where(last, b * 0.01, 0.0),\n',
        ),
        "optimizer/verify/common/stage.py": replaced(
            'Affine(checked * constant("t_sequence"), generation',
            'Affine(checked * (constant("t_sequence") + Fraction(1, 100)), generation',
        ),
        "optimizer/verify/graph/modules.py": replaced(
            'self._batch * constant("t_sequence")', 'self._batch * (constant("t_sequence") + Fraction(1, 100))'
        ),
    },
    TEST,
    ("tests/search/test_cost_tables.py", "tests/graph/test_check.py", "tests/report/test_derivations.py"),
)
