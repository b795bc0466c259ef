"""Which sections a page folds, each under one line that says what is in it: what backs the verdict, not the verdict itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from optimizer.explain.common.numbers import count
from optimizer.facts.problem import Problem
from optimizer.reporting.document import Section
from optimizer.reporting.ledger import share
from optimizer.reporting.subject import Subject


def folded(sections: Iterable[Section], gists: Mapping[str, str]) -> list[Section]:
    """The sections, those with a gist folded under it."""
    return [replace(section, gist=gists.get(section.id, "")) for section in sections]


def gists_of(subject: Subject) -> dict[str, str]:
    """Of a strategy's report; summary, requirements, findings, recommendations and curves stay open."""
    metrics, rules = subject.metrics, [rule for rule in subject.answer.rules if rule.enabled]
    holding = sum(rule.holds for rule in rules)
    return {
        **facts_gists(subject.problem),
        "strategy": f"{subject.strategy.label}, where it stands, memory by stage; {holding} of {count(len(rules), 'rule')} hold",
        "throughput": f"{metrics.tokens_per_s:,.0f} tokens/s at the demand, {metrics.peak_tokens_per_s:,.0f} at most",
        "communication": "what each GPU sends in a step, and the share of its links that this takes",
        "balance": "how evenly layers, memory and experts are spread",
        "faults": f"{count(subject.instances, 'engine instance')}; {share(metrics.availability)} of requests served",
        "launch": f"commands and files for {subject.problem.engine}",
        **({"score": f"{subject.ledger.figure('score').text}, part by part"} if "score" in subject.ledger else {}),
        "graph": "what every GPU does in one step, checked",
    }


def facts_gists(problem: Problem) -> dict[str, str]:
    """Of what every report begins with: hardware and model."""
    there, model = problem.hardware, problem.model
    return {
        "hardware": f"{count(there.nodes, 'node')} of {there.gpus_per_node} × {there.gpu.name}, every fact with its source",
        "model": f"{model.name}, parameters by component",
    }
