"""Instances of different shapes on unequal nodes, and what one more node is worth."""

from optimizer import problem_from_dict, solve, why_this

problem = problem_from_dict(
    {
        "cluster": [
            {"name": "h100", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
            {"name": "a100", "gpu": "a100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
        ],
        "model": "llama3.1-8b",
        "workload": {"prompt_tokens": 500, "output_tokens": 200, "requests_per_s": 10},
        "requirements": {"tpot_p99_ms": 60, "max_sequence_tokens": 4096, "max_batch": 64},
    }
)
answer = solve(problem)
print(answer.status, answer.label)
for worth in why_this(problem).worths:
    print(f"{worth.words}: {worth.gain_ms} ms per request")
