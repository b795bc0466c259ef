"""The launch files of an answer as text, by their paths."""

from optimizer import deploy, problem_from_dict, solve

problem = problem_from_dict(
    {
        "hardware": {"gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 2},
        "model": "llama3.1-8b",
        "workload": {"prompt_tokens": 500, "output_tokens": 200, "requests_per_s": 2},
        "requirements": {"max_sequence_tokens": 4096},
    }
)
files = deploy(problem, solve(problem), "shell", model_id="meta-llama/Llama-3.1-8B-Instruct")
for path in sorted(files):
    print(path, len(files[path].splitlines()), "lines")
