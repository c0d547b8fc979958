from pathlib import Path

import pytest

from onetrunk.adaptation.curve import CurvePoint, finding, learning_curve, plot_curve
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.model.backbone import Backbone

TEXTS = [f"{verb} {thing} {number}" for number in range(8) for verb in ("call", "play")
         for thing in ("paris", "york", "mum")]  # fmt: skip
ROWS = [LabelledText(text, (text.split()[0],)) for text in TEXTS]
SETTINGS = AdaptSettings(adapter="linear", l2=0.1)


def test_the_last_point_is_an_app_of_all_rows(tiny_backbone: Backbone) -> None:
    kind, test_rows = family("tc"), [*ROWS[:9], LabelledText("mum", ("never seen",))]
    points = learning_curve(tiny_backbone, kind, ROWS[9:], test_rows, SETTINGS)
    assert [point.rows for point in points] == [5, 10, 20, 39]
    app = fit(tiny_backbone, kind, Data(kind.label_set(ROWS), ROWS[9:]), SETTINGS)
    answers = Engine(tiny_backbone, {"app": app}).predict_examples("app", test_rows)
    want = kind.score(test_rows, answers)["accuracy"]
    assert points[-1] == CurvePoint(39, pytest.approx(want), want, want)
    assert all(point.low <= point.mean <= point.high for point in points)
    assert points == learning_curve(tiny_backbone, kind, ROWS[9:], test_rows, SETTINGS)
    with pytest.raises(UserError, match="15 rows are too few for a curve: 16 are needed"):
        learning_curve(tiny_backbone, kind, ROWS[:15], test_rows, SETTINGS)


def test_entities(tiny_backbone: Backbone) -> None:
    rows = [AnnotatedText(text, ((5, text.rindex(" "), "X"),)) for text in TEXTS]
    points = learning_curve(tiny_backbone, family("ner"), rows[8:], rows[:8], SETTINGS)
    assert [point.rows for point in points] == [5, 10, 20, 40]


def test_a_part_with_one_label_is_no_point(tiny_backbone: Backbone) -> None:
    rows = [LabelledText(text, ("a",)) for text in TEXTS[:-1]] + [LabelledText("mum", ("b",))]
    points = learning_curve(tiny_backbone, family("tc"), rows, rows[:4], SETTINGS)
    assert points[-1].rows == len(rows)
    assert "too few points" in finding(points[-1:], "accuracy")


@pytest.mark.parametrize(
    ("last", "high", "what"), [(70.0, 61.0, "will probably help"), (62.0, 66.0, "within chance")]
)
def test_what_it_says(tmp_path: Path, last: float, high: float, what: str) -> None:
    points = [CurvePoint(20, 60.0, 58.0, high), CurvePoint(40, last, last, last)]
    assert what in finding(points, "f1")
    assert "from 20 to 40 rows" in finding(points, "f1")
    plot_curve(points, "f1", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
