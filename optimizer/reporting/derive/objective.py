"""The objective: its terms, and their sum. ``docs/model.md``, section 6."""

from __future__ import annotations

from optimizer.explain.uniform.why import TERM_WORDS
from optimizer.reporting.ledger import ms
from optimizer.reporting.subject import Subject


def derive_objective(subject: Subject) -> None:
    """Value and terms; nothing where the answer has no objective."""
    objective, ledger = subject.answer.objective, subject.ledger
    if objective is None:
        return
    ids = []
    for name, value in objective.terms.items():
        id = f"objective-{name}"
        ledger.given(id, f"Objective, {TERM_WORDS[name]}", value, "ms",
                     "docs/model.md, section 6: summed over the failure states, recomputed by the verifier")  # fmt: skip
        ids.append(id)
    ledger.derive(
        "objective", "Objective: expected milliseconds per request over failure states", " + ".join(TERM_WORDS[n] for n in objective.terms),
        " + ".join(ms(value) for value in objective.terms.values()), objective.value, "ms", note="docs/model.md, section 6",
        inputs=ids,
    )  # fmt: skip
