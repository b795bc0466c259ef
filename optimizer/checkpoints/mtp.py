"""Multi-token-prediction modules: counted apart, because engines load them only where speculation is switched on."""

from __future__ import annotations

from optimizer.checkpoints.assemble import Stores
from optimizer.checkpoints.parts import Decoder, Linear
from optimizer.checkpoints.select import Selected

COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers", "num_mtp_modules")


def mtp_modules(chosen: Selected, decoder: Decoder, stores: Stores) -> tuple[int, int]:
    """(parameters, bytes) of the modules that the file states.

    A module is one more layer like the last, two norms, a projection of twice the hidden size (DeepSeek-V3, arXiv
    2412.19437, section 2.2) and the norm before the head; it shares the table and the head.
    """
    number = next((chosen.values[key] for key in COUNTS if isinstance(chosen.values.get(key), int)), 0)
    if isinstance(number, bool) or number < 1 or not decoder.layers:
        return 0, 0
    last = decoder.layers[-1]
    index = len(decoder.layers)
    projection = Linear("eh_proj", 2 * decoder.hidden, decoder.hidden)
    small = 3 * decoder.hidden + last.attention_norms + last.rest_norms
    parameters, total = projection.parameters, 2 * projection.parameters
    # The module is stored as the layers are; its own counts must not change which format most weights have.
    before = stores.linear.copy(), stores.expert.copy()
    for half in (last.attention, last.rest):
        if half is None:
            continue
        weights = stores.weigh(index, half.linears)
        parameters += sum(weights.parameters.values())
        total += sum(weights.bytes.values())
        small += half.small
    if last.rest and last.rest.experts:
        parameters += last.rest.experts.count * last.rest.experts.parameters
        total += last.rest.experts.count * stores.weigh_expert(index, last.rest)
    stores.linear, stores.expert = before
    return number * (parameters + small), number * (total + 2 * small)
