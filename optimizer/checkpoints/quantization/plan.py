"""What a checkpoint's quantisation says of each matrix."""

from __future__ import annotations

from dataclasses import dataclass, field

from optimizer.checkpoints.parts import Linear
from optimizer.checkpoints.quantization.names import Entries
from optimizer.checkpoints.quantization.storage import Storage
from optimizer.facts.model import KvCacheFormat, Quantization


@dataclass(frozen=True, slots=True)
class QuantizationPlan:
    """The default storage of linear layers, what is excepted from it, and what the file asks of the cache."""

    method: str
    default: Storage | None
    """None: only what ``overrides`` or ``experts`` name is quantised."""
    experts: Storage | None = None
    """Of routed experts where it is not ``default``."""
    ignored: tuple[str, ...] = ()
    overrides: tuple[tuple[Entries, Storage | None], ...] = ()
    """First match wins, before the ignore list."""
    targets: Entries | None = None
    """Only these modules; None: every linear layer."""
    head: Storage | None = None
    embedding: Storage | None = None
    kv_cache_format: KvCacheFormat | None = None
    notes: tuple[str, ...] = ()
    _entries: Entries = field(default_factory=lambda: Entries(()), repr=False)

    @staticmethod
    def of(
        method: str,
        default: Storage | None,
        *,
        experts: Storage | None = None,
        ignored: tuple[str, ...] = (),
        overrides: tuple[tuple[Entries, Storage | None], ...] = (),
        targets: Entries | None = None,
        head: Storage | None = None,
        embedding: Storage | None = None,
        kv_cache_format: KvCacheFormat | None = None,
        notes: tuple[str, ...] = (),
        exact: bool = False,
    ) -> QuantizationPlan:
        """A plan with its ignore list ready to be asked; ``exact``: as ``Entries`` has it."""
        return QuantizationPlan(
            method,
            default,
            experts,
            ignored,
            overrides,
            targets,
            head,
            embedding,
            kv_cache_format,
            notes,
            Entries(ignored, exact=exact),
        )

    def storage(self, layer: int, linear: Linear, *, expert: bool = False) -> Storage | None:
        """How a matrix is stored; None: in 16 bit."""
        for entries, storage in self.overrides:
            if entries.has(layer, linear.module):
                return storage
        if self._entries and self._entries.has(layer, linear.module):
            return None
        if expert and self.experts is not None:
            return self.experts
        if self.targets is not None and not self.targets.has(layer, linear.module):
            return None
        return self.default

    def facts(self, bulk: Storage, linear: Storage) -> Quantization:
        """What engines' rules depend on.

        Args:
            bulk: the storage of most of the quantised weights.
            linear: that of most weights outside routed experts, whose blocks bind TP as well.
        """
        return Quantization(
            method=self.method,
            weight_format=bulk.weight_format,
            weight_block=bulk.block or linear.block,
            group_size=bulk.group or linear.group or None,
            activation_format=bulk.activation,
            kv_cache_format=self.kv_cache_format,
            ignored=self.ignored,
        )
