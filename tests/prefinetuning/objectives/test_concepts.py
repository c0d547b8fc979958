"""Names of concepts and their embeddings: bounded memory, cached."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from onetrunk.data.notes import Notes
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import pool
from onetrunk.model.loading import load_encoder
from onetrunk.prefinetuning.objectives import concepts
from onetrunk.prefinetuning.objectives.concepts import concept_name, name_embeddings

NAMES = ["person", "new york", "日本", "a", "river bank in paris", "e-mail address", "b", "c d"]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("PER", "person"),
        ("Restaurants_1.cityName", "restaurants 1 city name"),
        ("contact.name", "contact name"),
        ("日付", "日付"),
    ],
)
def test_concept_names(label: str, name: str) -> None:
    assert concept_name(label) == name


def one_by_one(encoder: Encoder, names: list[str]) -> np.ndarray:
    rows = []
    for name in names:
        ids = torch.tensor([encoder.tokenizer(name)["input_ids"]])
        with torch.no_grad():
            row = pool(encoder.states(ids, torch.ones_like(ids)), torch.ones_like(ids))[0]
        rows.append((row / row.norm()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("block", [3, 100])
def test_blocks_and_batches_change_nothing(
    tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(concepts, "BLOCK", block)
    monkeypatch.setattr(concepts, "BATCH", 2)
    names = [*NAMES, f"made for {block}"]
    done: list[int] = []
    made = name_embeddings(tiny_encoder, names, progress=lambda _, at, total: done.append(at))
    assert done == ([3, 6, 9] if block == 3 else [9])
    want = one_by_one(tiny_encoder, names)
    rows = np.array([7, 0, 3, 3, 8])
    np.testing.assert_allclose(made.rows(rows), want[rows], atol=1e-6)
    np.testing.assert_allclose(made.mean, want.mean(0), atol=1e-6)
    assert made.rows(rows).dtype == made.mean.dtype == np.float32
    assert isinstance(made.store.arrays["embeddings"], np.memmap)


def test_names_are_embedded_once_an_encoder(
    tiny_encoder: Encoder, tiny_encoder_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    embed = concepts._embed

    def count(encoder: Encoder, names: Any, notes: Notes) -> np.ndarray:
        calls.append(len(names))
        return embed(encoder, names, notes)

    monkeypatch.setattr(concepts, "_embed", count)
    names = ["once", "and", "again", "x " * 80]
    notes = [Notes(), Notes()]
    first = name_embeddings(tiny_encoder, names, notes[0])
    second = name_embeddings(load_encoder(tiny_encoder.source), names, notes[1])
    assert calls == [4]
    np.testing.assert_array_equal(first.rows(np.arange(4)), second.rows(np.arange(4)))
    for said in notes:  # what is cut is said by every run
        assert said.found["concept names cut to 64 tokens"].count == 1
    name_embeddings(tiny_encoder, names[:3])
    name_embeddings(load_encoder(str(tiny_encoder_folder("bert", seed=1))), names)
    assert calls == [4, 3, 4]
