"""What judging needs besides the sentence at hand: the facts, the proposed strategy, figures stated elsewhere, and costs.

Costs come from ``optimizer.questions.uniform.check`` on the proposed strategy and are computed only if a claim asks for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optimizer.auditing.languages import languages_of
from optimizer.auditing.layouts import NO_PIPELINE, strategy_of_layout
from optimizer.auditing.metrics import Metric, MetricRow, is_target, labelled_metrics, target_row
from optimizer.auditing.reading import Statement
from optimizer.auditing.sections import Variants
from optimizer.auditing.sentences import parts_of
from optimizer.auditing.shell import ShellCommand, commands_in
from optimizer.auditing.strategies import DEGREES, Proposed, digits, hypothetical, mentions, proposed_strategy
from optimizer.auditing.units import Amount
from optimizer.catalog.constants import constants
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem

if TYPE_CHECKING:
    from optimizer.auditing.lexicon import Lexicon
    from optimizer.reporting.ledger import Ledger
from optimizer.results.answer import Answer, CheckAnswer, Fixed

CHECK_SECONDS = 10.0
"""For one strategy, which takes a fraction of a second; the limit is for machines that are busy otherwise."""
BEST_SECONDS = 5.0
"""For the optimum, likewise: an answer that depends on how busy the machine is would be none."""
OPTIMAL = re.compile(
    r"\b(?:is|represents?|remains?|as|:) (?:the |an |a )?(?:provably |globally )?(?:optimal|best)(?: possible)?"
    r" (?:parallel )?(?:configuration|strategy|choice|setup|parallelism|deployment)\b",
    re.IGNORECASE,
)
_FORMATS: tuple[tuple[str, str], ...] = (
    (r"\b(?:FP16|float16|half precision)\b", "fp16"),
    (r"\b(?:BF16|bfloat16)\b", "bf16"),
    (r"\b(?:FP8|E4M3|W8A8[- ]?FP8|float8)\b", "fp8"),
    (r"\b(?:INT8|W8A8|8-bit)\b", "int8"),
    (r"\b(?:INT4|W4A16|AWQ|GPTQ|4-bit)\b", "int4"),
    (r"\bNVFP4\b", "nvfp4"),
    (r"\bMXFP4\b", "mxfp4"),
)
_GPU_NAMES = re.compile(r"\b(?:GB[23]00|[ABHL]\d{2,3}S?|V100|T4|MI\d{3}X?|RTX ?\d{4}|A10G?|L4)\b")
_MODEL_SIZE = re.compile(r"(?:-|\b[A-Z][\w.]{0,30} )(\d+(?:\.\d+)?)B\b")
_FAMILIES = re.compile(
    r"\b(?:llama|mixtral|mistral|qwen|deepseek|gemma|falcon|phi|kimi|glm|gpt-oss|gpt-?\d|claude|minimax|nemotron|yi)(?=[-\s\d]|\b)",
    re.IGNORECASE,
)


_OF_GPU = re.compile(
    r"\b(?:GPUs?|cards?|accelerators?|ranks?|devices?|shards?|Karten?|Grafikkarten?|Beschleuniger|cartes?|accélérateurs?|TP\W{0,3}\d)\b",
    re.IGNORECASE,
)
_OF_WEIGHTS = re.compile(
    r"\bweights?\b|\bcheckpoint|\bmodel\b|\bparam|\bdtype|\bquantiz|\bprecision|\bformat|Gewicht|Modell|\bwieg"
    r"|\bpoids\b|\bmodèle|\bpèse|Format",
    re.IGNORECASE,
)
"""A number format is the weights' only where a line speaks of them: tensor-core rates and caches have formats too."""
_IN_FORMAT = re.compile(
    r"(?:^|[.:;]\s)\W*(?:with|in|under|using|at|mit|bei|unter|avec|en)\s+(?:an?\s|einem\s|einer\s|un\s"
    r"|une\s)?(?:FP|BF|INT|NVFP|MXFP|W4|W8|AWQ|GPTQ|\d-bit|4-bit|8-bit)",
    re.IGNORECASE,
)
"""A sentence that begins "With FP8 …" says what would be, where the checkpoint is in another format."""
OTHER_NETWORK = re.compile(
    r"\bdraft(?:er)?\b|\bspeculat|\bMTP\b|\bmulti-token|\bLoRA\b|\badapters?\b|\bvision\b|\bencoder\b|\breward model"
    r"|\bembedding model|\bre-?rank|\bteacher\b|\bstudent\b|\bguard model",
    re.IGNORECASE,
)
"""Networks beside the one that is served: their sizes are not the model's."""


RECENT = 2
"""Sentences before that figures may go on from."""


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """A figure the report states, with its line."""

    value: float
    line: int
    text: str


@dataclass
class Context:
    """One audit. ``wrong`` collects figures found wrong, so that their repetitions are recognised."""

    problem: Problem
    statements: tuple[Statement, ...]
    wrong: list[tuple[str, float, str, int, str]] = field(default_factory=list)
    """(quantity, value, expected, line, reason)."""
    _sizes: dict[str, float] = field(default_factory=dict)
    last_rate: tuple[int, float, Any] | None = None
    """(line, value, figure) of the last rate that a sentence gives."""
    said: dict[str, tuple[int, list[float]]] = field(default_factory=dict)
    """Sizes and rates of the last sentence that gave some, with its line."""
    said_of: str = ""
    """Dimension of the last rate: of money or of requests."""
    spoken_of: list[str] = field(default_factory=list)
    """Quantity of the last figure that was confirmed: what "that is 16 GB per GPU" speaks of."""
    percentiles: dict[str, dict[int, tuple[int, float, str]]] = field(default_factory=dict)
    """Medians and 99th percentiles stated so far: line, ms, as written."""
    last_tokens: list[float] = field(default_factory=list)
    """Length of the sequences spoken of last: what "64 such sequences" are."""
    recent: list[Any] = field(default_factory=list)
    """Sentences in the order in which they were read: what figures may go on from."""
    interned: dict[tuple[object, ...], Any] = field(default_factory=dict)
    """Situations of the audit by their key, so that each computes its values once."""

    def before(self, sentence: Any) -> tuple[Any, ...]:
        """The last sentences that one may go on from, of the lines right above it."""
        return tuple(s for s in self.recent if 0 <= sentence.statement.line - s.statement.line <= 3)[-RECENT:]

    @cached_property
    def commands(self) -> tuple[ShellCommand, ...]:
        """Launch commands of the report."""
        return commands_in(self.statements)

    @cached_property
    def prose(self) -> str:
        """The text of the report without code, for what is said anywhere in it."""
        return "\n".join(s.text for s in self.statements if s.readable and s.kind != "code")

    @cached_property
    def command_lines(self) -> frozenset[int]:
        """Lines that belong to launch commands."""
        return frozenset(line for command in self.commands for line in command.lines)

    @cached_property
    def variants(self) -> Variants:
        """The strategies that the report compares, by their names, columns and sections."""
        return Variants(self.statements, self.commands)

    @cached_property
    def strategy(self) -> Proposed | None:
        """The strategy the report is about: of several that it compares by name the one that it recommends."""
        if self.variants.recommended and "tp" in (degrees := self.variants.recommended[0].as_dict):
            tp, pp, dp, ep = (degrees.get(which, 1) for which in DEGREES)
            return Proposed(tp, pp, dp, ep, frozenset(degrees), self.variants.recommended[1])
        flags: dict[str, tuple[int, int]] = {}
        prose = tuple(part for s in self.statements if s.line not in self.command_lines for part in parts_of(s))
        one_stage = any(s.readable and NO_PIPELINE.search(s.text) and not hypothetical(s) for s in prose)
        for command in self.commands:
            for which, value, line in command.degrees():
                if which != "pp" or not one_stage:  # what is said of the stages goes before a flag
                    flags.setdefault(which, (value, line))
        hardware = self.problem.hardware
        found = proposed_strategy(prose, flags, hardware.gpus) or strategy_of_layout(
            prose, hardware.gpus_per_node, hardware.gpus
        )
        return replace(found, named=found.named | {"pp"}) if found and one_stage and found.pp == 1 else found

    @cached_property
    def rows(self) -> dict[int, MetricRow]:
        """Rows of target and achieved by line."""
        found = (target_row(statement) for statement in self.statements if statement.readable)
        return {row.line: row for row in found if row}

    @cached_property
    def _gpu_lines(self) -> frozenset[int]:
        return frozenset(
            s.line for s in self.statements if s.readable and _OF_GPU.search(" ".join([*s.header, s.text]))
        )

    def speaks_of_gpu(self, statement: Statement) -> bool:
        """Whether a line, its headings or the one before speak of single GPUs, so that figures may be per GPU."""
        near = {statement.line, self._line_before.get(statement.line, 0)}
        return bool(_OF_GPU.search(statement.section)) or not self._gpu_lines.isdisjoint(near)

    @cached_property
    def _line_before(self) -> dict[int, int]:
        lines = [s.line for s in self.statements]
        return dict(zip(lines[1:], lines, strict=False))

    @cached_property
    def formats(self) -> tuple[str, ...]:
        """Weight formats the report names, else the problem's: the first is the one it proposes."""
        found: list[str] = []
        for statement in self.statements:
            if (
                statement.readable
                and not hypothetical(statement)
                and not re.search(r"KV", statement.text)
                and not (_IN_FORMAT.search(statement.text) and self._other_format(statement))
                and _OF_WEIGHTS.search(f"{' '.join(statement.header)} {statement.text}")
            ):
                found += [name for pattern, name in _FORMATS if re.search(pattern, statement.text, re.IGNORECASE)]
        stated = self.problem.search.weight_precision or (self.problem.model.native_weight_format,)
        return tuple(dict.fromkeys([*found, *stated]))

    def _other_format(self, statement: Statement) -> bool:
        """Whether a line names only formats that the checkpoint is not in."""
        native = self.problem.search.weight_precision or (self.problem.model.native_weight_format,)
        named = [name for pattern, name in _FORMATS if re.search(pattern, statement.text, re.IGNORECASE)]
        return not set(named) & set(native)

    def stated(self, key: str, percentile: int | None = None, *, target: bool = False) -> list[StatedFacts]:
        """Figures of a metric anywhere in the report, in base units; ``target`` selects what is demanded."""
        found: list[StatedFacts] = []
        for row in self.rows.values():
            if row.metric and row.metric.key == key and percentile in (None, row.metric.percentile):
                amount = row.target if target else row.achieved
                found.append(StatedFacts(amount.value, row.line, amount.text))
        for line, metric, amount, label in self.labelled:
            if metric.key == key and percentile in (None, metric.percentile) and is_target(label) == target:
                found.append(StatedFacts(amount.value, line, amount.text))
        return found

    @cached_property
    def labelled(self) -> list[tuple[int, Metric, Amount, str]]:
        """Figures of ``Label: value`` lines: (line, metric, value, label)."""
        plain = (s for s in self.statements if s.readable and not hypothetical(s))
        return [(s.line, *found) for s in plain for found in labelled_metrics(s)]

    @cached_property
    def parameters(self) -> tuple[int, int]:
        """All parameters of the model, and those one token passes through."""
        return self.problem.model.parameters, self.problem.model.active_parameters

    @cached_property
    def batches(self) -> list[StatedFacts]:
        """Sequences that run at once on one replica, as stated anywhere."""
        flags = [
            StatedFacts(float(flag.value), flag.line, flag.value)
            for command in self.commands
            for flag in command.flags
            if flag.name in ("--max-num-seqs", "--max-running-requests") and (flag.value or "").isdigit()
        ]
        return [*self.stated("batch"), *flags]

    def about_other(self, statement: Statement) -> bool:
        """Whether a statement speaks of another GPU or model than the problem's, or of a possibility."""
        if hypothetical(statement):
            return True
        words = f"{statement.section} / {statement.text}"
        name = re.sub(r"[^a-z0-9]", "", self.problem.hardware.gpu.name.lower())
        if any(re.sub(r"[^a-z0-9]", "", found.lower()) not in name for found in _GPU_NAMES.findall(words)):
            return True
        if OTHER_NETWORK.search(statement.text):
            return True
        own = self.problem.model.name.lower()
        if _FAMILIES.search(own) and any(found.lower() not in own for found in _FAMILIES.findall(words)):
            return True
        sizes = [float(found) * 1e9 for found in _MODEL_SIZE.findall(words)]
        return any(all(abs(size - one) > 0.06 * one for one in self.parameters) for size in sizes)

    def other_strategy(self, statement: Statement) -> bool:
        """Whether a statement names a degree that is not the proposed strategy's."""
        proposed = self.strategy
        return proposed is not None and any(
            getattr(proposed, which) != value
            for mention in mentions(digits(statement.text))
            for which, value in mention.degrees
        )

    def weight_bytes(self, weight_format: str) -> float:
        """Bytes of all weights in a format (docs/model.md, section 2, without padding and replication)."""
        if weight_format == self.problem.model.native_weight_format:
            return float(self.problem.model.weight_bytes)
        if weight_format not in self._sizes:
            one, experts = constants().formats[weight_format], self._expert_parameters
            linear = 2.0 if weight_format == "mxfp4" and experts else one.linear
            self._sizes[weight_format] = experts * one.expert + (self.parameters[0] - experts) * linear
        return self._sizes[weight_format]

    @cached_property
    def _expert_parameters(self) -> int:
        model = self.problem.model
        return sum(model.kinds[k].experts * model.kinds[k].expert_parameters for k in model.kind_of_layer)

    @cached_property
    def costs(self) -> CheckAnswer | None:
        """The cost model's figures for the proposed strategy at the stated batch; None where it cannot say."""
        from optimizer.questions.uniform import check

        proposed, problem = self.strategy, self.problem
        if proposed is None:
            return None
        batch = min([problem.max_batch, *(int(b.value) for b in self.stated("batch") if b.value >= 1)])
        even = problem.model.layers % proposed.pp == 0
        split = (problem.model.layers // proposed.pp,) * proposed.pp if even else None
        known = [name for name in self.formats if name in constants().formats]
        narrow: dict[str, object] = {"weight_precision": (known[0],), "disabled_rules": ()}
        narrow |= {
            "tensor_parallel": (proposed.tp,),
            "pipeline_parallel": (proposed.pp,),
            "data_parallel": (proposed.dp,),
        }
        asked = problem.model_copy(update={"search": problem.search.model_copy(update=narrow)})
        # Replicas by themselves, as reports mean them: experts or contexts that several share have to be said.
        fixed = Fixed(
            proposed.tp,
            proposed.pp,
            proposed.dp,
            proposed.ep,
            batch,
            split,
            known[0],
            expert_slice_ranks=1,
            decode_context_parallel=1,
        )
        try:
            answer = check(asked, fixed, time_limit_s=CHECK_SECONDS, repairs=False)
        except (ProblemError, ValueError, IndexError, ZeroDivisionError):
            return None
        return answer if answer.metrics else None

    @cached_property
    def _languages(self) -> dict[int, str]:
        written = [s for s in self.statements if s.kind != "code" and s.readable]
        lines = [" ".join([*s.header, s.text]) for s in written]
        return {s.line: name for s, name in zip(written, languages_of(lines), strict=True)}

    def language(self, statement: Statement) -> str:
        """The language of a line: its own, or that of the lines around it where its words do not tell."""
        return self._languages.get(statement.line, "en")

    @cached_property
    def weights_span(self) -> tuple[float, float] | None:
        """Least and most bytes of weights on a GPU of the proposed strategy, over its stages."""
        stages = self.costs.metrics.weights_bytes_per_stage if self.costs and self.costs.metrics else None
        return (float(min(stages)), float(max(stages))) if stages else None

    @cached_property
    def ledger(self) -> Ledger:
        """Every figure the product's own report derives for the proposed strategy; empty where there is none."""
        from optimizer.reporting.build import ledger_of
        from optimizer.reporting.ledger import Ledger

        return ledger_of(self.problem, self.costs) if self.costs else Ledger()

    @cached_property
    def derived(self) -> Lexicon:
        """The ledger's figures by their titles."""
        from optimizer.auditing.derived import derived_lexicon

        return derived_lexicon(self.ledger)

    @cached_property
    def predicted(self) -> dict[str, float]:
        """Figures that the cost model gives for the proposed strategy, by the names of ``data/entries.yaml`` (``p_tpot_p99_ms``)."""
        return {
            "p_" + re.sub(r"\W", "_", one.id): float(one.figure.value)
            for one in self.ledger.derivations
            if one.figure.value is not None and re.fullmatch(r"[a-z][\w-]*(?: [a-z]+)*", one.id)
        }

    def ledger_values(self, pattern: str) -> list[float]:
        """Figures of the report's ledger whose id fits a pattern."""
        return [
            float(one.figure.value)
            for one in self.ledger.derivations
            if fnmatchcase(one.id, pattern) and one.figure.value is not None
        ]

    @cached_property
    def best(self) -> Answer | None:
        """The proven optimum of the problem; None where it was not asked for or not proved in time."""
        from optimizer.questions.uniform import solve

        if not self.asks_for_best or self.costs is None:
            return None
        known = [name for name in self.formats if name in constants().formats]
        search = self.problem.search.model_copy(update={"weight_precision": (known[0],), "disabled_rules": ()})
        optimum = solve(self.problem.model_copy(update={"search": search}), time_limit_s=BEST_SECONDS)
        return optimum if optimum and optimum.status == "optimal" else None

    @cached_property
    def asks_for_best(self) -> bool:
        """Whether any statement calls its strategy the best one."""
        return any(statement.readable and OPTIMAL.search(statement.text) for statement in self.statements)
