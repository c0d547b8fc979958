import pytest
import torch

from onetrunk.data.examples import LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.families.classification import Classification


def test_single_and_multi_label_decoding() -> None:
    tc, row = Classification(), LabelledText("x", ("b",))
    logits = torch.tensor([[2.0, 1.0, -1.0]])
    one = tc.decode(logits, row, [0], ["a", "b", "c"])
    assert one.labels == ("a",)
    assert sum(one.probabilities.values()) == pytest.approx(1)
    many = tc.decode(logits, row, [0], ["a", "b", "c"], multi_label=True)
    assert many.labels == ("a", "b")
    assert many.probabilities["c"] == pytest.approx(float(torch.tensor(-1.0).sigmoid()))
    assert list(tc.render(row, many)["probabilities"]) == ["a", "b", "c"]


def test_targets() -> None:
    tc = Classification()
    row = LabelledText("x", ("b", "c"))
    assert tc.targets(row, [0], ["a", "b", "c"], True).tolist() == [[0, 1, 1]]
    assert tc.targets(LabelledText("x", ("b",)), [0], ["a", "b"]).tolist() == [1]


def test_several_labels_need_multi_label() -> None:
    rows = [LabelledText("x", ("a",)), LabelledText("y", ("a", "b"))]
    with pytest.raises(UserError, match=r"f\.jsonl, row 2: 2 labels .*pass --multi-label"):
        Classification().check_single(rows, "f.jsonl", False)
    with pytest.raises(UserError, match="--multi-label does not apply to family 'ner'"):
        family("ner").check_single([], "f", True)


def test_unknown_family() -> None:
    with pytest.raises(UserError, match="unknown task family 'nre'; did you mean 'ner'"):
        family("nre")
