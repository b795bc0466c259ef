"""The best strategy for one node of eight H100, and why a proposal is not it."""

from optimizer import Fixed, check, problem_from_dict, solve, why_not

problem = problem_from_dict(
    {
        "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1},
        "model": "llama3-70b",
        "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 4},
        "requirements": {"tpot_p99_ms": 100, "max_sequence_tokens": 4096},
    }
)
answer = solve(problem)
print(answer.status, answer.strategy.label)
print(answer.explanation[0])

proposal = Fixed(tensor_parallel=2, pipeline_parallel=4, data_parallel=1)
print(check(problem, proposal).feasible)
print(*why_not(problem, proposal).sentences, sep="\n")
