"""Pictures of runs: what is averaged into them, and that they are drawn."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.plot import (
    COLUMNS,
    binned,
    plot_conflict,
    plot_conflicts,
    plot_losses,
)


def records_of(
    steps: int, families: Sequence[str] = ("ner", "tc"), start: int = 0, cosine: float | None = None
) -> list[StepRecord]:
    """Cosines are step + layer / 10, or the one given."""
    return [
        StepRecord(
            step, dict.fromkeys(families, 1.0), 1.0, 1, 1, 1.0,
            gradient_norms={name: [1.0, 2.0, 3.0] for name in families},
            cosines={
                f"{f}|{g}": [step + at / 10 if cosine is None else cosine for at in range(3)]
                for f, g in combinations(families, 2)
            },
        )
        for step in range(start, start + steps)
    ]  # fmt: skip


def shade(path: Path) -> tuple[float, float]:
    """Mean red and blue of the pixels that are coloured at all."""
    image = matplotlib.image.imread(path)[..., :3]
    coloured = image[(image.max(-1) - image.min(-1)) > 0.3]
    return float(coloured[:, 0].mean()), float(coloured[:, 2].mean())


def test_few_steps_are_shown_one_by_one() -> None:
    means, edges = binned(records_of(5, start=10), "ner|tc")
    np.testing.assert_allclose(means, [[10 + s + at / 10 for s in range(5)] for at in range(3)])
    assert edges.tolist() == [10, 11, 12, 13, 14, 15]


def test_many_steps_are_averaged_and_none_is_lost() -> None:
    records = records_of(1003)
    means, edges = binned(records, "ner|tc")
    assert means.shape == (3, COLUMNS)
    assert (edges[0], edges[-1]) == (0, 1003)
    widths = np.diff(edges)
    assert set(widths) == {16, 17}
    np.testing.assert_allclose(means[0], (edges[:-1] + edges[1:] - 1) / 2)
    assert float(means[1] @ widths) == pytest.approx(sum(r.cosines["ner|tc"][1] for r in records))


def test_conflict_is_red_and_agreement_is_blue(tmp_path: Path) -> None:
    for name, cosine in (("conflict", -0.05), ("agreement", 0.05)):
        plot_conflicts({"run": records_of(20, cosine=cosine)}, tmp_path / f"{name}.png")
    red, blue = shade(tmp_path / "conflict.png")
    assert red > blue
    red, blue = shade(tmp_path / "agreement.png")
    assert blue > red


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    plot_losses(records_of(30), tmp_path / "losses.png", "a run")
    plot_conflict(records_of(30), tmp_path / "one.png", "a run")
    plot_conflict(records_of(1, ("a", "b", "c")), tmp_path / "three.svg", "three families")
    runs = {"joint": records_of(30), "tpl": records_of(90)}
    plot_conflicts(runs, tmp_path / "several.png")
    assert {file.name for file in tmp_path.iterdir()} == {
        "losses.png", "one.png", "three.svg", "several.png",
    }  # fmt: skip
    one, several = (matplotlib.image.imread(tmp_path / f"{n}.png") for n in ("one", "several"))
    assert several.shape[1] > one.shape[1]
    assert "a and c pull apart in" in (tmp_path / "three.svg").read_text()


def test_a_run_without_cosines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ner: no cosines were recorded"):
        plot_conflict(records_of(3, ("ner",)), tmp_path / "x.png", "ner")
    with pytest.raises(ValueError, match="frozen: no cosines"):
        plot_conflicts({"joint": records_of(3), "frozen": []}, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())
