from pathlib import Path

import pytest

from onetrunk.apps.reading import read_labelled
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.families import family


def read(
    file: Path, cells: list[str], labels: list[str], name: str = "multi-label"
) -> tuple[list[tuple[str, ...]], list[str]]:
    table = "".join(f'text {number},"{cell}"\n' for number, cell in enumerate(cells))
    file.write_text(f"text,labels\n{table}")
    notes = Notes()
    rows, _ = read_labelled(family(name), file, "test", notes, labels)
    return [row.labels for row in rows], [line.partition(" (")[0] for line in notes.lines()]


def test_cells_that_join_labels_of_training(tmp_path: Path) -> None:
    file, known = tmp_path / "a.csv", ["billing", "hardware", "other"]
    split = "cells that join several labels of training, split: "
    assert read(file, ["hardware, billing", "other"], known) == (
        [("hardware", "billing"), ("other",)], [f"{split}1"],
    )  # fmt: skip
    # The file shows that "billing" is a label, which is not enough.
    cells = ["hardware, billing", "hardware, billing", "billing", "billing"]
    joined = ("hardware", "billing")
    assert read(file, cells, known) == (
        [joined, joined, ("billing",), ("billing",)], [f"{split}2"],
    )  # fmt: skip
    assert read(file, ["a, b", "a"], ["a", "a, b", "b"])[0] == [("a, b",), ("a",)]
    with pytest.raises(UserError, match="label 'hardware, b' never occurs"):
        read(file, ["hardware, b"], known)
    with pytest.raises(UserError, match="label 'hardware, billing' never occurs"):
        read(file, ["hardware, billing"], known, "tc")
