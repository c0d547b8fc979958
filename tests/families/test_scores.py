import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score, recall_score
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from onetrunk.data.rows import AnnotatedText
from onetrunk.families.scores import entity_scores, label_scores

tags = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])
sentences = st.lists(st.lists(st.tuples(tags, tags), max_size=8), min_size=1, max_size=5)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(sentences)
def test_entity_scores_equal_seqeval_strict(pairs: list[list[tuple[str, str]]]) -> None:
    gold = [[a for a, _ in sentence] for sentence in pairs]
    guess = [[b for _, b in sentence] for sentence in pairs]
    rows = [["w"] * len(sentence) for sentence in pairs]
    ours = entity_scores(
        [AnnotatedText.from_words(*row).entities for row in zip(rows, gold, strict=True)],
        [AnnotatedText.from_words(*row).entities for row in zip(rows, guess, strict=True)],
    )
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    for name, reference in (
        ("f1", seqeval_f1),
        ("precision", precision_score),
        ("recall", recall_score),
    ):
        assert ours[name] == pytest.approx(100 * reference(gold, guess, **strict)), name


def test_single_labels_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    gold, guess = rng.choice(list("abcd"), 200), rng.choice(list("abce"), 200)
    ours = label_scores([(g,) for g in gold], [(g,) for g in guess])
    assert ours["accuracy"] == pytest.approx(100 * accuracy_score(gold, guess))
    macro = f1_score(gold, guess, average="macro", zero_division=0)
    assert ours["macro_f1"] == pytest.approx(100 * macro)
    assert ours["micro_f1"] == pytest.approx(ours["accuracy"])


def test_multi_label_accuracy_wants_every_label() -> None:
    ours = label_scores([("a", "b"), ("a",), ()], [("b", "a"), ("a", "b"), ()])
    assert ours["accuracy"] == pytest.approx(200 / 3)
    assert ours["micro_f1"] == pytest.approx(100 * 2 * 3 / (3 + 4))


some_labels = st.lists(st.sampled_from("abcd"), max_size=3, unique=True)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.tuples(some_labels, some_labels), min_size=1, max_size=6))
def test_several_labels_equal_scikit_learn(pairs: list[tuple[list[str], list[str]]]) -> None:
    gold, guess = zip(*pairs, strict=True)
    ours = label_scores(gold, guess)
    binarizer = MultiLabelBinarizer().fit([*gold, *guess])
    truth, answer = binarizer.transform(gold), binarizer.transform(guess)
    if not len(binarizer.classes_):  # of which scikit-learn has no F1
        assert ours == {"accuracy": 100, "macro_f1": 0, "micro_f1": 0}
        return
    assert ours["accuracy"] == pytest.approx(100 * accuracy_score(truth, answer))
    one = len(binarizer.classes_) == 1  # scikit-learn would count the texts without it, too
    if one:
        truth, answer = truth.ravel(), answer.ravel()
    for average in ("macro", "micro"):
        f1 = f1_score(truth, answer, average="binary" if one else average, zero_division=0)
        assert ours[f"{average}_f1"] == pytest.approx(100 * f1)
