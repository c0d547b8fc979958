from collections.abc import Sequence

import numpy as np
import pytest
import torch

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.apps.suggest import spread_out, suggest, uncertainties
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.model.backbone import Backbone

TEXTS = [f"{verb} {thing}" for verb in ("call", "play") for thing in ("paris", "york", "mum")]


def engine(backbone: Backbone, name: str, rows: Sequence[object]) -> Engine:
    kind = family(name)
    data = Data(kind.label_set(rows), list(rows))
    app = fit(backbone, kind, data, AdaptSettings(adapter="linear", l2=0.1))
    return Engine(backbone, {"app": app})


@pytest.mark.parametrize("name", ["tc", "multi-label", "rating", "ner", "nested-ner"])
def test_texts_are_distinct_and_in_the_file(tiny_backbone: Backbone, name: str) -> None:
    if "ner" in name:
        rows: list[object] = [AnnotatedText(text, ((5, len(text), "X"),)) for text in TEXTS]
    else:
        labels = ("1", "2") if name == "rating" else ("call", "play")
        rows = [LabelledText(text, (labels[text[0] == "p"],)) for text in TEXTS]
    texts = ["", "call mum now", " ", "play york", "call mum now", "paris", "mum", "play paris"]
    chosen = suggest(engine(tiny_backbone, name, rows), "app", texts, 4)
    assert len({one.row for one in chosen}) == 4
    assert all(texts[one.row - 1] == one.text != "" for one in chosen)
    assert 5 not in {one.row for one in chosen}  # the same text as in row 2
    assert all(0 <= one.certainty <= 1 and one.answer for one in chosen)
    assert len(suggest(engine(tiny_backbone, name, rows), "app", texts, 50)) == 5
    with pytest.raises(UserError, match="unknown app 'ap'; did you mean 'app'"):
        suggest(engine(tiny_backbone, name, rows), "ap", texts, 1)


def test_the_most_uncertain_text_comes_first(tiny_backbone: Backbone) -> None:
    rows = [LabelledText(text, (text.split()[0],)) for text in TEXTS]
    model = engine(tiny_backbone, "tc", rows)
    texts = [*TEXTS, "call play", "now"]
    chosen = suggest(model, "app", texts, 1)
    of_all = model.unit_probabilities("app", [LabelledText(text) for text in texts])
    margins = [float((p := of.values[0].sort().values)[-1] - p[-2]) for of in of_all]
    assert chosen[0].row == int(np.argmin(margins)) + 1


def test_uncertainties() -> None:
    sure, unsure = [0.98, 0.01, 0.01], [0.4, 0.4, 0.2]
    values = uncertainties(np.array([sure, unsure]), "tc")
    assert values == pytest.approx([0.03, 1.0])
    assert uncertainties(np.array([[0.1, 0.45, 0.99]]), "multi-label") == pytest.approx([0.9])
    assert uncertainties(np.array([[*sure, *unsure]]), "nested-ner") == pytest.approx([0.03, 1.0])
    assert uncertainties(np.array([[0.3]]), "rating").tolist() == [1.0]
    assert uncertainties(np.empty((0, 3)), "ner").tolist() == []


def test_rows_are_far_from_each_other_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    vectors, weights = rng.normal(size=(30, 5)), rng.uniform(size=30)
    chosen = spread_out(vectors, weights, 6)
    units = torch.nn.functional.normalize(torch.from_numpy(vectors), dim=1).numpy()
    want = [int(weights.argmax())]
    for _ in range(5):
        worth = [
            -1 if row in want else weights[row] * min(1 - units[row] @ units[one] for one in want)
            for row in range(30)
        ]
        want.append(int(np.argmax(worth)))
    assert chosen == want
    copies = np.concatenate([vectors[:3], vectors[:3], vectors[:3]])
    assert {place % 3 for place in spread_out(copies, np.ones(9), 3)} == {0, 1, 2}
    assert spread_out(vectors[:0], weights[:0], 3) == []
