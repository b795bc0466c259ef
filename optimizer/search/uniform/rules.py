"""The named rules: each has an id, a sentence for people, a way to post itself and a way to judge a finished strategy.

Definitions (what a number is) are in ``quantities``; here is only what the numbers may be. A rule is posted behind its
switch, so explanations can turn it off. ``docs/model.md``, section 7.
"""

from __future__ import annotations

from optimizer.engines.memory import state_blocks_of
from optimizer.facts.problem import Problem
from optimizer.search.uniform.kernel_rules import kernel_rules
from optimizer.search.uniform.load_rules import (
    concurrency_rule,
    full_batch_rule,
    kv_cache_rule,
    latency_rule,
    max_batch_rule,
    memory_rule,
    min_batch_rule,
    request_rate_rule,
    state_blocks_rule,
    survive_rule,
)
from optimizer.search.uniform.power_rules import power_rules
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Rule
from optimizer.search.uniform.shape_rules import (
    attention_heads_rule,
    context_rule,
    expert_groups_rule,
    experts_rule,
    ffn_width_rule,
    gpu_count_rule,
    kv_heads_rule,
    layer_split_rule,
    nvlink_rule,
    vocabulary_rule,
)


def rules_for(problem: Problem) -> tuple[Rule, ...]:
    """Every rule that applies to the problem, in the order they are shown."""
    rules = [
        gpu_count_rule(problem),
        *power_rules(problem),
        attention_heads_rule(problem),
        kv_heads_rule(problem),
        ffn_width_rule(problem),
        vocabulary_rule(problem),
        experts_rule(problem),
        expert_groups_rule(problem),
        layer_split_rule(problem),
        nvlink_rule(problem),
        *kernel_rules(problem),
        memory_rule(problem),
        *([kv_cache_rule(problem)] if problem.paged else []),
        *([state_blocks_rule(problem)] if state_blocks_of(problem) is not None else []),
        context_rule(problem),
        max_batch_rule(problem),
        min_batch_rule(problem),
        concurrency_rule(),
        request_rate_rule(problem),
    ]
    rules += [latency_rule(problem, limit) for limit in problem.requirements.latency_limits]
    if problem.requirements.tpot_p99_ms is not None:
        rules.append(full_batch_rule(problem.requirements.tpot_p99_ms, problem.requirements.margin))
    survive = problem.requirements.survive
    rules += [survive_rule(problem, level, k) for level, k in (("gpu", survive.gpu), ("node", survive.node)) if k]
    return tuple(rules)


def rules_of(quantities: Quantities) -> tuple[Rule, ...]:
    """The rules of the problem that tables are of, made once for them: every screen of a conflict asks for them."""
    if quantities.rules is None:
        quantities.rules = rules_for(quantities.problem)
    found: tuple[Rule, ...] = quantities.rules
    return found


def rule_ids(problem: Problem) -> tuple[str, ...]:
    """Ids that ``search.disabled_rules`` may name for this problem."""
    return tuple(rule.id for rule in rules_for(problem))
