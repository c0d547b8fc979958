"""A report from cells with known scores: what it compares, leaves out, and writes."""

import io
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from onetrunk.benchmark import figures
from onetrunk.benchmark.cells import Cell, CellId, every_id, save_cell
from onetrunk.benchmark.comparison import Column, Results
from onetrunk.benchmark.outcomes import Outcomes
from onetrunk.benchmark.page import html_page, table
from onetrunk.benchmark.report import write_report
from onetrunk.benchmark.store import encoder_name, load_cells, pack_cells
from onetrunk.benchmark.suite import Suite
from onetrunk.benchmark.suite_file import load_suite
from onetrunk.cli import app
from onetrunk.cli.benchmark import means_table
from onetrunk.errors import UserError
from onetrunk.storage import read_json, write_json

COLUMN = Column("ner", "8-rows", "linear")
SKILL = {"none": 0.5, "tpl": 0.8, "tpl-discarded": 0.65}


def outcomes(family: str, skill: float, rng: np.random.Generator) -> Outcomes:
    rows = 60
    if family == "ner":
        gold = rng.integers(0, 3, rows)
        right = np.where(rng.random(rows) < skill, gold, 0)
        return Outcomes("entities", np.stack([gold, gold, right], axis=1))
    gold = rng.integers(0, 3, rows)
    predicted = np.where(rng.random(rows) < skill, gold, (gold + 1) % 3)
    return Outcomes("labels", np.stack([gold, predicted], axis=1), ["go", "stay", "wait"])


def fake(suite: Suite, out: Path, **changes: Any) -> list[Cell]:
    """A cell for every id; the better the skill of its strategy, the better it is."""
    cells = []
    for at, id in enumerate(every_id(suite)):
        family = suite.task(id.task).family
        rng = np.random.default_rng([len(id.task), id.seed, id.adaptation_seed])
        skill = SKILL[id.strategy] + 0.02 * np.random.default_rng(at).standard_normal()
        outcomes_of_cell = outcomes(family, skill, rng)
        hashes = {"data": id.task} | changes
        cell = Cell(
            id,
            family,
            outcomes_of_cell.scores(),
            8,
            60,
            1.5,
            0.1,
            2,
            1000,
            4000,
            "fp32",
            {},
            hashes,
            {},
            outcomes_of_cell,
        )
        save_cell(cell, out)
        cells.append(cell)
    return cells


@pytest.fixture
def suite(make_suite: Callable[..., Suite]) -> Suite:
    names = [("who", "ner"), ("where", "ner"), ("verb", "tc"), ("tone", "tc")]
    tasks = [{"name": name, "family": kind, "data": f"{kind}/app"} for name, kind in names]
    tasks[-1]["metric"] = "macro_f1"
    return make_suite(
        tasks=tasks,
        seeds=[0, 1],
        adaptation_seeds=[0, 1, 2],
        draws=[{"rows": 8}, {"rows": 4}],
    )


@pytest.fixture
def out(suite: Suite, tmp_path: Path) -> Path:
    fake(suite, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are most of the time, and are looked at elsewhere."""
    for name in ("plot_curves", "plot_ranks", "plot_differences"):
        monkeypatch.setattr(figures, name, lambda data, path: path.touch())


def test_scores_are_by_task_and_seeds(suite: Suite, out: Path) -> None:
    results = Results(suite, load_cells(out))
    scores = results.scores(COLUMN, suite.strategy("tpl"))
    assert scores is not None
    assert scores.shape == (2, 2, 3)
    file = CellId("tpl", "where", "8-rows", "linear", 1, 2).file(out)
    assert scores[1, 1, 2] == read_json(file, "a cell")["scores"]["f1"]
    fixed = results.scores(COLUMN, suite.strategy("none"))
    assert fixed is not None
    assert fixed.shape == (2, 1, 3)


def test_a_comparison_is_that_of_the_differences(suite: Suite, out: Path) -> None:
    results = Results(suite, load_cells(out))
    comparisons = {each.second: each for each in results.against_each(COLUMN, "tpl")}
    assert list(comparisons) == ["none", "tpl-discarded"]
    by_name = results.complete(COLUMN)
    for name, comparison in comparisons.items():
        differences = by_name["tpl"] - by_name[name]
        by_task = differences.mean((1, 2))
        assert comparison.over_seeds.mean == pytest.approx(by_task.mean())
        assert comparison.over_tasks.p == stats.wilcoxon(by_task).pvalue
        assert comparison.wins == (2, 0, 0)
        assert comparison.detectable is not None
        assert comparison.detectable > 0
    p = sorted(comparison.over_tasks.p for comparison in comparisons.values())
    assert min(comparison.adjusted_p for comparison in comparisons.values()) == min(1, 2 * p[0])


def test_what_lacks_a_cell_is_not_compared(suite: Suite, out: Path) -> None:
    CellId("none", "who", "8-rows", "linear", 0, 1).file(out).unlink()
    results = Results(suite, load_cells(out))
    assert "none" not in results.complete(COLUMN)
    assert [one.second for one in results.against_each(COLUMN, "tpl")] == ["tpl-discarded"]
    assert not results.against_each(COLUMN, "none")
    assert "none" in results.complete(COLUMN._replace(adapter="lora"))
    assert {d.task for d in results.by_task(COLUMN, "tpl", "none")} == {"where"}


@pytest.mark.parametrize("family", ["ner", "tc"])
def test_a_difference_on_rows_is_that_of_the_scores(
    make_suite: Callable[..., Suite], tmp_path: Path, family: str
) -> None:
    suite = make_suite(adapters=["linear"])  # one seed of each kind: nothing is averaged
    results = Results(suite, fake(suite, tmp_path))
    column = Column(family, "8-rows", "linear")
    (difference,) = results.by_task(column, "tpl", "none")
    scores = results.complete(column)
    expected = (scores["tpl"] - scores["none"]).item()
    assert difference.over_rows.difference == pytest.approx(expected)
    assert difference.over_rows.low < expected < difference.over_rows.high


def test_other_versions_or_data_are_told(suite: Suite, out: Path) -> None:
    assert not Results(suite, load_cells(out)).mixed()
    for place, change in (("task", "data"), ("family", "package")):
        cells = load_cells(out)
        if change == "data":
            cells[0].hashes["data"] = "other"
        else:
            cells[0].versions["onetrunk"] = "other"
        (line,) = Results(suite, cells).mixed()
        assert (cells[0].id.task if place == "task" else cells[0].family) in line
        assert change in line


def test_a_mean_is_over_the_same_cells_or_not_given(suite: Suite, out: Path) -> None:
    cells = load_cells(out)
    strategy, column = suite.strategy("none"), Column("tc", "4-rows", "lora")
    scores = [
        cell.scores[suite.task(cell.id.task).score]
        for cell in cells
        if (cell.id.strategy, cell.family, *cell.id.file(out).name.split(".")[:2])
        == ("none", "tc", "4-rows", "lora")
    ]
    complete = Results(suite, cells).scores(column, strategy)
    assert complete is not None
    assert complete.mean() == pytest.approx(sum(scores) / len(scores))
    assert len(scores) == 2 * 3
    gone = next(cell for cell in cells if cell.id.strategy == "none" and cell.family == "tc")
    results = Results(suite, [cell for cell in cells if cell is not gone])
    column = Column("tc", gone.id.draw, gone.id.adapter)
    assert results.scores(column, strategy) is None
    console = Console(width=200, file=io.StringIO())
    console.print(means_table(suite, list(results.cells.values())))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    (line,) = (line for line in printed.splitlines() if line.startswith("none"))
    assert line.endswith("47 of 48")
    assert line.count("5 of 6") == 1
    assert len(line.split()) == 1 + 7 + 3 + 3


def numbers(table: Sequence[str]) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d", " ".join(table))]


def test_the_report_is_one_file_with_everything(suite: Suite, out: Path, tmp_path: Path) -> None:
    write_report(suite, out, tmp_path / "a", "tpl")
    write_report(suite, out, tmp_path / "b", "tpl")
    page = (tmp_path / "a/report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("<img") == 3  # no backbones: no conflict
    text = (tmp_path / "a/report.md").read_text()
    for name in (*SKILL, "who", "where", "verb", "tone (macro_f1)", "Learning curves", "Ranks"):
        assert name in page
        assert name in text
    for link in re.findall(r"\]\((.+?)\)", text):
        assert (tmp_path / "a" / link).exists()
    for file in (tmp_path / "a").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "b" / file.relative_to(tmp_path / "a")).read_bytes()
    content = read_json(tmp_path / "a/report.json", "a report")
    assert len(content["comparisons"]) == 2 * 2 * 2 * 2
    row = next(line for line in text.splitlines() if line.startswith("| who "))
    means = [
        scores.mean((1, 2))[0]
        for scores in Results(suite, load_cells(out)).complete(COLUMN).values()
    ]
    assert numbers([row]) == pytest.approx(means, abs=0.051)


@pytest.mark.usefixtures("no_figures")
def test_the_report_says_what_is_missing_or_mixed(suite: Suite, out: Path, tmp_path: Path) -> None:
    CellId("none", "who", "8-rows", "linear", 0, 1).file(out).unlink()
    cell = load_cells(out)[0]
    cell.hashes["data"] = "other"
    save_cell(cell, out)
    write_report(suite, out, tmp_path / "a", "tpl")
    text = (tmp_path / "a/report.md").read_text()
    assert f"**Note:** the cells of {cell.id.task} were made with 2 versions of their data." in text
    (line,) = (line for line in text.splitlines() if "5 cells" in line)
    assert line.startswith("| mean | 5 cells |")
    assert "| where | – |" in text


def test_the_verb_needs_neither_data_nor_recipe(out: Path, corpora: Path) -> None:
    (corpora / "recipe.yaml").unlink()
    shutil.rmtree(corpora / "ner")
    arguments = ["report", str(corpora / "suite.yaml"), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (out / "report/report.html").exists()
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "already exists" in result.output
    result = CliRunner().invoke(app, [*arguments, "--overwrite", "--strategy", "tlp"])
    assert result.exit_code == 2
    assert "'tpl'" in result.output
    assert (out / "report/report.html").exists()
    assert load_suite(corpora / "suite.yaml", files=False).tasks
    with pytest.raises(UserError, match="no such file"):
        load_suite(corpora / "suite.yaml")


@pytest.mark.usefixtures("no_figures")
def test_an_encoder_s_folder_is_told_from_here(
    suite: Suite, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report travels; where a home folder lies on this machine is not its business."""
    folder = suite.backbone(suite.strategies[0], suite.seeds[0], out)
    recipe = {"recipe": {"encoder": str(tmp_path / "runs/own")}}
    folder.mkdir(parents=True)
    write_json(folder / "onetrunk.json", recipe)
    monkeypatch.chdir(tmp_path)
    write_report(suite, out, tmp_path / "a", "tpl")
    assert "Encoder: runs/own." in (tmp_path / "a/report.md").read_text()
    assert read_json(tmp_path / "a/report.json", "a report")["encoder"] == "runs/own"
    pack_cells(out, encoder_name(suite, out))
    shutil.rmtree(folder)  # as in a benchmark that was published
    pack_cells(out, encoder_name(suite, out))
    write_report(suite, out, tmp_path / "b", "tpl")
    for file in ("report.md", "report.html", "report.json"):
        assert (tmp_path / "b" / file).read_bytes() == (tmp_path / "a" / file).read_bytes()


def test_text_is_escaped(tmp_path: Path) -> None:
    text = f"## <b>\n\n**bold** & <i>\n\n{table(['a|b'], [['<td>']])}\n"
    page = html_page("<t>", text, tmp_path)
    assert "<title>&lt;t&gt;</title>" in page
    assert "<strong>bold</strong> &amp; &lt;i&gt;" in page
    assert "<h2>&lt;b&gt;</h2>" in page
    assert "<td>&lt;td&gt;</td>" in page
    assert "<th>a|b</th>" in page
    assert "| a\\|b |" in text
