"""What a figure is of is told by the words around it, by a classifier learnt from sentences that are in no report."""

import gzip
import json
import random
from pathlib import Path

import pytest
import yaml

from optimizer import audit
from optimizer.auditing.lexicon import DATA, lexicon
from optimizer.auditing.reading import Statement
from optimizer.auditing.sentences import sentences_of
from optimizer.auditing.topics.classifier import WEIGHTS, topics_of
from optimizer.reading.load import problem_from_dict

CORPUS = Path(__file__).parents[2] / "scripts" / "topics"
PROBLEM = {
    "hardware": {"gpu": "a100-sxm-80gb", "gpus_per_node": 8, "nodes": 2, "price_per_gpu_hour": 2.0, "internode_gbit_per_s": 200},
    "model": "llama3-70b",
    "workload": {"prompt_tokens": 1200, "output_tokens": 300, "requests_per_s": 4},
    "requirements": {
        "tpot_p99_ms": 80, "ttft_p99_ms": 3000, "max_batch": 64, "max_sequence_tokens": 8192,
        "survive": {"node": 1, "demand_share": 0.5},
    },
}  # fmt: skip
PROPOSAL = "We run TP8 on each of the two nodes, two replicas.\n\n"


def likeliest(text: str, figure: str, language: str = "en") -> str:
    sentence = sentences_of(Statement(1, text, text, "text", ""), lexicon(), language)[0]
    measure = next(m for m in sentence.measures if m.text.startswith(figure))
    found = topics_of(sentence, measure)
    return max(found, key=lambda name: found[name])


@pytest.mark.parametrize(
    ("text", "figure", "language", "topic"),
    [
        ("What each accelerator has to carry of the model is 35 GB.", "35 GB", "en", "weights_gpu"),
        ("The whole checkpoint comes to 141 GB on disk.", "141 GB", "en", "weights"),
        ("Von den Karten bleiben vier ungenutzt.", "vier", "de", "gpus_spare"),
        ("Chaque réplique reçoit deux requêtes par seconde.", "deux requêtes", "fr", "request_rate_replica"),
        ("Per second the users hand in 4,800 tokens of prompts.", "4,800", "en", "prompt_rate"),
        ("The contract promises the first token within 3 s at P99.", "3 s", "en", "limit_ttft_p99"),
        ("Last year our support team answered 12,000 tickets.", "12,000", "en", "other"),
    ],
)
def test_words_tell_the_topic(text, figure, language, topic):
    assert likeliest(text, figure, language) == topic


RIGHT_AND_WRONG = [
    ("What every card ends up with is {} of weights.", "17.6 GB", "28 GB"),
    ("Readers hand in {} of prompts every second.", "4,800 tokens/s", "7,900 tokens/s"),
    ("Of our own hidden layers, {} have to be passed one after the other.", "80", "64"),
    ("From one machine to the other, data go at {}.", "200 Gbit/s", "400 Gbit/s"),
    ("Keys and values of a single token come to {} over all layers.", "320 KiB", "480 KiB"),
]


@pytest.mark.parametrize(("text", "right", "wrong"), RIGHT_AND_WRONG)
def test_a_right_figure_is_confirmed_and_a_wrong_one_refuted(text, right, wrong):
    problem = problem_from_dict(PROBLEM)
    for figure, verdict in ((right, "confirmed"), (wrong, "refuted")):
        said = [c.verdict for c in audit(PROPOSAL + text.format(figure), problem).claims if c.line == 3]
        assert verdict in said, (figure, said)
        assert figure == wrong or "refuted" not in said


@pytest.mark.parametrize(
    "text",
    [
        "As an old customer we get 17% off the list price.",
        "In my experience 15 tokens per second is what readers find fluent.",
        "The previous cluster had 24 GPUs.",
        "The remaining 12 GB go to activations and CUDA graphs.",
        "Starting up takes 3.7 min, most of it reading the weights from disk.",
        "Each cabinet may draw up to 20 kW.",
        "The router picks two of eight experts in the model that we had before.",
        "Simulated were 2,000 requests.",
        "We considered a card of 40 GB as well.",
        "The tender asks for an offer within 90 days.",
    ],
)
def test_what_is_of_something_else_is_not_accused(text):
    said = audit(PROPOSAL + text, problem_from_dict(PROBLEM))
    assert not [c for c in said.claims if c.line == 3 and c.verdict in ("refuted", "contradicted")]


def test_a_forecast_is_wrong_only_far_from_the_prediction():
    problem = problem_from_dict(PROBLEM)
    found = {}
    for figure in ("30 ms", "38 ms", "400 ms"):
        said = audit(PROPOSAL + f"At the 99th percentile we forecast {figure} per output token.", problem).claims
        found[figure] = {c.verdict for c in said if c.line == 3}
    assert "refuted" in found["400 ms"]
    assert all("refuted" not in found[one] for one in ("30 ms", "38 ms"))


def test_every_topic_of_the_weights_has_a_meaning():
    with gzip.open(WEIGHTS, "rt", encoding="utf-8") as file:
        learnt = {name for unit in json.load(file)["units"].values() for name in unit["topics"]}
    known = yaml.safe_load((DATA / "topics.yaml").read_text(encoding="utf-8"))
    assert learnt <= set(known)
    assert all(one["title"] for one in known.values())


def test_the_sentences_it_was_learnt_from_are_told_again():
    """That the weights are those of the sentences, without learning them again: a sample is told nearly always."""
    lines = [
        line.split("\t")
        for path in sorted(CORPUS.glob("*.tsv"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    told = tried = 0
    for topic, language, marked in random.Random(1).sample(lines, 300):
        text, start = marked.replace("{", "").replace("}", ""), marked.index("{")
        sentence = sentences_of(Statement(1, text, text, "text", ""), lexicon(), language)[0]
        measures = [m for m in sentence.measures if m.start <= start < m.end or m.start == start]
        if sentence.text == text and measures:
            found = topics_of(sentence, measures[0])
            tried += 1
            told += bool(found) and max(found, key=lambda name: found[name]) == topic
    assert tried > 150
    assert told > 0.9 * tried
