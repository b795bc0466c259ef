"""Names that people give to models: the same architecture under another name resolves, anything else is refused with what will do."""

from __future__ import annotations

import pytest

from optimizer.catalog import lookup as catalog
from optimizer.facts.errors import ProblemError


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3.1-8b"),
        ("unsloth/Meta-Llama-3.1-8B-Instruct", "llama3.1-8b"),
        ("NousResearch/Llama-2-7b-chat-hf", "llama2-7b"),
        ("Qwen/Qwen2.5-72B-Instruct", "qwen2.5-72b"),
        ("qwen2.5 72b instruct", "qwen2.5-72b"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("mistralai/Mistral-Large-Instruct-2407", "mistral-large-123b"),
        ("moonshotai/Kimi-K2-Instruct-0905", "kimi-k2"),
        ("Qwen3_32B", "qwen3-32b"),
    ],
)
def test_a_checkpoint_of_the_same_architecture_resolves(name: str, meant: str) -> None:
    assert catalog.model(name) == catalog.model(meant)


def test_every_model_is_found_by_each_of_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    # Which entry a name finds is asked here; what its config is read as, elsewhere and once.
    monkeypatch.setattr(catalog, "_read_model", lambda name: name)
    for name in catalog.names("models"):
        values = catalog.entry("models", name)
        for other in (name, values["huggingface_id"], *values.get("aliases", ())):
            assert catalog.model(other) == values["name"], other


@pytest.mark.parametrize(
    "name", ["neuralmagic/Meta-Llama-3.1-70B-Instruct-FP8", "Qwen/Qwen2.5-72B-Instruct-AWQ", "llama3.1-8b-w4a16"]
)
def test_a_quantised_checkpoint_is_never_taken_for_the_published_one(name: str) -> None:
    with pytest.raises(ProblemError, match=r"quantised checkpoint of .*config\.json.*weight_precision"):
        catalog.model(name)


@pytest.mark.parametrize("name", ["Mistral-Small-Instruct-2409", "my-own-model", "llama3.1-9b", "qwen"])
def test_what_is_not_known_is_refused_and_a_config_will_do(name: str) -> None:
    with pytest.raises(ProblemError, match=r"no such file; .*config\.json"):
        catalog.model(name)


def test_only_what_is_near_is_suggested() -> None:
    with pytest.raises(ProblemError, match=r"did you mean llama3\.1-8b"):
        catalog.model("llama3.1-9b")
    with pytest.raises(ProblemError) as far:
        catalog.model("some-company-flagship")
    assert "did you mean" not in str(far.value)
