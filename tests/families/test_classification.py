import pytest
import torch

from onetrunk.data.rows import LabelledText, numbered
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.families.classification import Classification


def test_decoding() -> None:
    tc, row = Classification(), LabelledText("x", ("b",))
    logits = torch.tensor([[2.0, 1.0, -1.0]])
    one = tc.decode(logits, (), ["a", "b", "c"])
    assert one.labels == ("a",)
    assert sum(one.probabilities.values()) == pytest.approx(1)
    assert list(tc.render(row, one)["probabilities"]) == ["a", "b", "c"]


def test_targets() -> None:
    tc = Classification()
    assert tc.targets(LabelledText("x", ("b",)), (), ["a", "b"]).tolist() == [1]


def test_several_labels_need_multi_label() -> None:
    rows = [LabelledText("x", ("a",)), LabelledText("y", ("a", "b"))]
    with pytest.raises(UserError, match=r"f\.jsonl, row 2: 2 labels .* its family is multi-label"):
        Classification().check_rows(rows, numbered("f.jsonl"))
    family("multi-label").check_rows(rows, numbered("f.jsonl"))


def test_unknown_family() -> None:
    with pytest.raises(UserError, match="unknown task family 'nre'; did you mean 'ner'"):
        family("nre")
