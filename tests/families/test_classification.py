from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from onetrunk.data.examples import LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.families.classification import Classification, PairObjective, PairSettings
from onetrunk.families.preparing import Preparing
from onetrunk.model.encoder import Encoder


def objective(sources: list[Path], encoder: Encoder, batch_size: int = 8) -> PairObjective:
    settings = PairSettings(sources=[{"path": str(p)} for p in sources], batch_size=batch_size)
    made = Classification().objective(settings, Preparing(encoder.tokenizer), encoder, "mean", 0)
    assert isinstance(made, PairObjective)
    return made


def lists(batch: Any) -> list[list[list[int]]]:
    return [[text.tolist() for text in side] for side in asdict(batch).values()]


def test_a_batch_is_one_source_and_depends_on_the_step_alone(
    corpora: Path, tiny_encoder: Encoder
) -> None:
    made = objective([corpora / "pre_pairs/c", corpora / "pre_pairs/d"], tiny_encoder)
    letters = []
    for step in range(12):
        batch = made.draw(step)
        assert lists(batch) == lists(made.draw(step))
        parts = [lists(made.draw(step, rank, world=2)) for rank in (0, 1)]
        for side, first, second in zip(lists(batch), *parts, strict=True):
            assert side[0::2] == first
            assert side[1::2] == second
        texts = tiny_encoder.tokenizer.batch_decode(batch.queries, skip_special_tokens=True)
        (letter,) = {text.split()[1][0] for text in texts}
        letters.append(letter)
    assert set(letters) == {"c", "d"}


def test_no_text_occurs_twice_in_a_batch(tmp_path: Path, tiny_encoder: Encoder) -> None:
    """A duplicate would be its own negative."""
    queries = [f"call {i % 3}" for i in range(30)]
    table = {"query": queries, "positive": [f"met {i}" for i in range(30)]}
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    batch = objective([tmp_path], tiny_encoder, batch_size=16).draw(0)
    assert len({tuple(text) for text in batch.queries}) == len(batch.queries) <= 3


def test_texts_that_the_encoder_cannot_tell_apart_are_one(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    """Case is lost to an uncased tokenizer, and so is all beyond max_length."""
    queries = ["Call mum", "call MUM", "call " * 70 + "a", "call " * 70 + "b"]
    table = {"query": queries, "positive": [f"met {i}" for i in range(4)]}
    pq.write_table(pa.table(table), tmp_path / "train.parquet")
    made = objective([tmp_path], tiny_encoder)
    assert len(made.draw(0).queries) == 2
    assert made.report()["truncated_share"] == 0.25  # of two queries and their positives


def test_explicit_negatives_come_along(tmp_path: Path, tiny_encoder: Encoder) -> None:
    columns = {
        "query": ["call a", "call b", "call c"],
        "positive": ["met a", "met b", "met c"],
        "negatives": [["play a", "play x"], [], ["play c"]],
    }
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    batch = objective([tmp_path], tiny_encoder).draw(0)
    texts = tiny_encoder.tokenizer.batch_decode(batch.negatives, skip_special_tokens=True)
    assert sorted(texts) == ["play a", "play c", "play x"]


def test_a_source_of_one_row_is_refused(tmp_path: Path, tiny_encoder: Encoder) -> None:
    pq.write_table(pa.table({"query": ["a"], "positive": ["b"]}), tmp_path / "train.parquet")
    with pytest.raises(UserError, match="has one row: a batch needs two"):
        objective([tmp_path], tiny_encoder)


def test_two_sources_of_one_name_are_refused(corpora: Path, tiny_encoder: Encoder) -> None:
    with pytest.raises(UserError, match="two sources are called 'c'"):
        objective([corpora / "pre_pairs/c"] * 2, tiny_encoder)


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
