import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from onetrunk.adaptation.doubts import doubts
from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.apps.engine import Engine
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.model.backbone import Backbone

TEXTS = [f"{verb} {thing} {number}" for number in range(6) for verb in ("call", "play")
         for thing in ("paris", "york", "mum")]  # fmt: skip
ROWS = [LabelledText(text, (text.split()[0],)) for text in TEXTS]
SETTINGS = AdaptSettings(adapter="linear", l2=0.1, head_layers=1, precision="fp32")


def test_a_wrong_label_comes_first(tiny_backbone: Backbone) -> None:
    rows = list(ROWS)
    rows[7] = LabelledText(rows[7].text, ("play" if rows[7].labels == ("call",) else "call",))
    ranked = doubts(tiny_backbone, family("tc"), rows)
    assert (ranked[0].row, ranked[0].text) == (8, rows[7].text)
    assert (ranked[0].labelled, ranked[0].likely) == (rows[7].labels, ROWS[7].labels)
    assert sorted(doubt.row for doubt in ranked) == list(range(1, len(rows) + 1))
    assert all(0 <= doubt.doubt <= 1 for doubt in ranked)
    assert [doubt.doubt for doubt in ranked] == sorted((d.doubt for d in ranked), reverse=True)


def test_doubts_are_those_of_scikit_learn_without_the_row(tiny_backbone: Backbone) -> None:
    ranked = {doubt.row - 1: doubt.doubt for doubt in
              doubts(tiny_backbone, family("tc"), ROWS, SETTINGS)}  # fmt: skip
    features = Engine(tiny_backbone, {}).embed(TEXTS)
    gold = np.array([label for row in ROWS for label in row.labels])
    folds = np.random.default_rng(0).permutation(len(ROWS)) % 5
    for fold in range(5):
        out, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        mean, std = features[rest].mean(0), features[rest].std(0)
        # A weight for each of two classes, each with the penalty: half of it on their difference.
        model = LogisticRegression(C=2 / (len(rest) * 0.1), tol=1e-8, max_iter=1000)
        model.fit((features[rest] - mean) / std, gold[rest])
        chances = model.predict_proba((features[out] - mean) / std)
        for row, chance in zip(out, chances, strict=True):
            right = chance[list(model.classes_).index(gold[row])]
            assert ranked[row] == pytest.approx(1 - right, abs=2e-3)


@pytest.mark.parametrize("name", ["ner", "nested-ner"])
def test_a_wrong_type_comes_first(tiny_backbone: Backbone, name: str) -> None:
    def row(text: str) -> AnnotatedText:
        thing = text.split()[1]
        start = text.index(thing)
        kind = "PER" if thing == "mum" else "LOC"
        return AnnotatedText(text, ((start, start + len(thing), kind),))

    rows = [row(text) for text in TEXTS]
    (start, end, kind), other = rows[4].entities[0], {"PER": "LOC", "LOC": "PER"}
    rows[4] = AnnotatedText(rows[4].text, ((start, end, other[kind]),))
    ranked = doubts(tiny_backbone, family(name), rows)
    assert ranked[0].row == 5
    assert ranked[0].labelled == ((start, end, other[kind]),)
    assert all(0 <= doubt.doubt <= 1 for doubt in ranked)


def test_several_labels_and_numbers(tiny_backbone: Backbone) -> None:
    rows = [LabelledText(row.text, (*row.labels, "any")) for row in ROWS]
    rows[3] = LabelledText(rows[3].text, rows[3].labels[:1])  # "any" is missing
    ranked = doubts(tiny_backbone, family("multi-label"), rows)
    assert ranked[0].row == 4
    rows = [LabelledText(row.text, ("1" if row.labels == ("call",) else "5",)) for row in ROWS]
    rows[9] = LabelledText(rows[9].text, ("5" if rows[9].labels == ("1",) else "1",))
    ranked = doubts(tiny_backbone, family("rating"), rows)
    assert ranked[0].row == 10
    assert isinstance(ranked[0].likely[0], str)
    assert all(0 <= doubt.doubt <= 1 for doubt in ranked)
    for doubt in ranked:  # the distance on the scale
        away = abs(float(doubt.labelled[0]) - float(doubt.likely[0])) / 4
        assert doubt.doubt == pytest.approx(away, abs=0.01)


def test_too_few_rows(tiny_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="9 rows are too few to doubt any: 10 are needed"):
        doubts(tiny_backbone, family("tc"), ROWS[:9])
