"""``onetrunk conflict`` as a user meets it."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run: Run) -> Run:
    """``run(…)``: exit code, stdout and stderr of ``onetrunk conflict …``."""
    return partial(run, "conflict")


def test_a_table_an_advice_json_and_a_picture(run: Run, recipe: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    out, plot = tmp_path / "conflict.json", tmp_path / "conflict.png"
    code, printed, _ = run(recipe, "--batches", 3, "--warmup", 4, "--out", out, "--plot", plot)
    assert code == 0
    found = json.loads(out.read_text())
    assert set(tmp_path.iterdir()) - before == {out, plot}
    assert plot.stat().st_size > 1000
    assert (found["batches"], found["warmup"], found["seed"]) == (3, 4, 0)
    names = ["embeddings", "layer 1", "layer 2", "layer 3"]
    assert [layer["name"] for layer in found["layers"]] == names
    assert sum(layer["private"] for layer in found["layers"]) == found["k"]
    assert found["share_of_resamples"] == found["shares_by_k"][found["k"]]
    assert set(found["losses"]) == {"ner", "tc"}
    rows = [line.split() for line in printed.splitlines() if line.startswith(("layer ", "embed"))]
    assert [row[:2] for row in rows if row[1].isdigit()] == [
        ["layer", "3"],
        ["layer", "2"],
        ["layer", "1"],
    ]
    for layer, row in zip(found["layers"], reversed(rows[1:]), strict=True):
        assert row[-1] == ("private" if layer["private"] else "shared")
        value, low, high = layer["pairs"]["ner|tc"]["batch_cosine"]
        shown = row[1 if row[0] == "embeddings" else 2 :]
        assert [float(x) for x in shown[:3]] == pytest.approx([value, low, high], abs=6e-4)
    assert found["advice"] in printed


def test_it_repeats_itself(run: Run, recipe: Path) -> None:
    first = run(recipe, "--batches", 2, "--warmup", 0)[1]
    assert first == run(recipe, "--batches", 2, "--warmup", 0)[1]
    assert first != run(recipe, "--batches", 2, "--warmup", 0, "--seed", 5)[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "nowhere/x.json"), "there is no folder nowhere"),
        (("--plot", "x.pgn"), "did you mean '.png'?"),
        (("--device", "cdua"), "--device 'cdua' is not available here"),
    ],
)
def test_a_bad_option_is_named_before_the_work(
    run: Run, recipe: Path, arguments: tuple[str, str], said: str
) -> None:
    code, printed, errors = run(recipe, *arguments)
    assert (code, printed) == (2, "")
    assert errors.startswith("error: ")
    assert said in errors


def test_one_family_has_nothing_to_conflict_with(run: Run, recipe: Path) -> None:
    content = yaml.safe_load(recipe.read_text())
    del content["families"]["tc"]
    recipe.write_text(yaml.safe_dump(content | {"strategy": "ner"}))
    code, _, errors = run(recipe)
    assert code == 2
    assert "needs two families, got 1" in errors
