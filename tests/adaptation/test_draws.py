"""Rows are drawn in one way, by the seed, and can be drawn again from their ids."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from onetrunk.adaptation.adapt import read_data, split_options
from onetrunk.adaptation.draws import Draw, draw_rows
from onetrunk.apps.subset import Subset
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family

TEXTS = [LabelledText(f"text {i}", ("rare" if i % 25 == 0 else "usual",)) for i in range(100)]


def drawn(draw: Draw, seed: int = 0) -> list[int]:
    return draw_rows(TEXTS, family("tc"), draw, seed, "hash")


def test_rows_at_random() -> None:
    assert drawn(Draw()) == list(range(100))
    ids = drawn(Draw(rows=20), seed=3)
    assert ids == drawn(Draw(rows=20), seed=3) != drawn(Draw(rows=20), seed=4)
    assert len(set(ids)) == 20
    assert drawn(Draw(rows=50), seed=3)[:20] == ids
    with pytest.raises(UserError, match="rows 101: the training file has 100 rows"):
        drawn(Draw(rows=101))
    with pytest.raises(UserError, match="rows and shots exclude each other"):
        drawn(Draw(rows=5, shots=1))
    with pytest.raises(UserError, match="rows '5': must be a whole number"):
        Draw(rows="5")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"subset 3: must be the path of a rows\.json"):
        Draw(subset=3)  # type: ignore[arg-type]


def test_a_share_and_shots() -> None:
    ids = drawn(Draw(fraction=0.25))
    assert Counter(TEXTS[i].labels[0] for i in ids) == {"rare": 1, "usual": 24}
    assert set(ids) < set(drawn(Draw(fraction=0.5)))
    shots = drawn(Draw(shots=3))
    assert Counter(TEXTS[i].labels[0] for i in shots) == {"rare": 3, "usual": 3}


def test_shots_of_entities_count_mentions() -> None:
    """Two words of one entity are one mention."""
    rows = [AnnotatedText.from_words(["new", "york"], ["B-place", "I-place"]) for _ in range(9)]
    rows += [AnnotatedText.from_words(["ann"], ["B-who"])]
    notes = Notes()
    ids = draw_rows(rows, family("ner"), Draw(shots=2), 0, "hash", notes)
    assert len(ids) == 3
    assert 9 in ids
    assert notes.lines() == [
        "labels that occur fewer than 2 times, all of them drawn: 1 ('who' (1))"
    ]


def test_a_draw_is_kept_and_drawn_again(tmp_path: Path) -> None:
    ids = drawn(Draw(fraction=0.1))
    Subset(ids, Draw(fraction=0.1).record(0), "hash").save(tmp_path / "rows.json")
    kept = json.loads((tmp_path / "rows.json").read_text())
    assert kept == {"what": {"fraction": 0.1, "seed": 0}, "source_sha256": "hash", "ids": ids}
    assert drawn(Draw(subset=tmp_path / "rows.json"), seed=9) == ids
    assert drawn(Draw(subset=str(tmp_path / "rows.json"))) == ids
    with pytest.raises(UserError, match="its row ids do not belong here"):
        draw_rows(TEXTS, family("tc"), Draw(subset=tmp_path / "rows.json"), 0, "other")
    with pytest.raises(UserError, match="of a file with 5 rows"):
        draw_rows(TEXTS[:5], family("tc"), Draw(subset=tmp_path / "rows.json"), 0, "hash")


def test_a_draw_is_noted_beside_the_app_if_it_left_rows_out() -> None:
    rows = [LabelledText(text.text, text.labels) for text in TEXTS]
    data, subset = read_data(family("tc"), rows, None, Draw(), 0, Notes())
    assert (len(data.train), subset) == (100, None)
    data, subset = read_data(family("tc"), rows, None, Draw(fraction=0.1), 0, Notes())
    assert subset is not None
    assert [rows[row] for row in subset.ids] == data.train


def test_a_draw_that_leaves_one_label() -> None:
    rows = [LabelledText(f"text {i}", ("rare" if i == 99 else "usual",)) for i in range(100)]
    with pytest.raises(UserError, match=r"drawn \(2\), whose labels are 'usual': draw more"):
        read_data(family("tc"), rows, None, Draw(rows=2), 0, Notes())
    rows += [LabelledText(f"more {i}", ("other",)) for i in range(90)]
    notes = Notes()
    read_data(family("tc"), rows, None, Draw(rows=20), 0, notes)
    assert notes.lines() == ["labels without a row among those drawn: 1 (the train rows: 'rare')"]


def test_numbers_of_numpy_are_numbers() -> None:
    settings, draw, _ = split_options({"rank": np.int64(4), "rows": np.int32(20), "fraction": None})
    assert (settings.rank, draw.rows) == (4, 20)
    assert type(settings.rank) is type(draw.rows) is int
