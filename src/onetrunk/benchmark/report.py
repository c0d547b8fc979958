"""The report of a suite: scores, comparisons, pictures and costs, made from its cells."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from onetrunk import kinds
from onetrunk.benchmark import figures, report_tables
from onetrunk.benchmark.cells import every_id
from onetrunk.benchmark.comparison import Results, TaskDifference
from onetrunk.benchmark.page import html_page
from onetrunk.benchmark.report_tables import name_of, title_of
from onetrunk.benchmark.statistics import SeedInterval, seed_interval
from onetrunk.benchmark.store import encoder_name, load_cells
from onetrunk.benchmark.suite import Suite
from onetrunk.prefinetuning.log import read_conflicts
from onetrunk.prefinetuning.plot import plot_conflicts
from onetrunk.progress import Progress, silent
from onetrunk.storage import atomic_folder, write_json, write_text

FIGURES = "figures"


def write_report(
    suite: Suite,
    out: Path,
    to: Path,
    strategy: str,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Results:
    """Write a report of the cells in ``out`` to the folder ``to``.

    It is ``report.html`` (one file), ``report.md`` with ``figures/``, and ``report.json`` (the
    comparisons). ``strategy`` is compared with each other one. Neither data nor backbones are
    needed; conflict heat maps are drawn for the backbones that exist.

    Raises :class:`UserError` for an unknown strategy, a damaged cell, or a folder without cells.
    """
    suite.strategy(strategy)
    results = Results(suite, load_cells(out))
    title = f"Benchmark: {strategy} and its alternatives"
    with atomic_folder(to, overwrite, kinds.REPORT) as folder:
        (folder / FIGURES).mkdir()
        report = _Report(results, out, folder, strategy, progress)
        text = "\n\n".join([f"# {title}", *report.blocks()]) + "\n"
        write_text(folder / "report.md", text)
        write_text(folder / "report.html", html_page(title, text, folder))
        content = {
            "strategy": strategy,
            "encoder": report.encoder,
            "comparisons": [asdict(comparison) for comparison in report.comparisons],
        }
        write_json(folder / "report.json", content)
    return results


class _Report:
    def __init__(
        self, results: Results, out: Path, folder: Path, strategy: str, progress: Progress
    ) -> None:
        self.results, self.out, self.folder = results, out, folder
        self.strategy, self.progress = strategy, progress
        self.suite = results.suite
        self.encoder = encoder_name(results.suite, out)
        self.families = list(dict.fromkeys(column.family for column in results.columns))
        self.comparisons = [
            comparison
            for column in results.columns
            for comparison in results.against_each(column, strategy)
        ]

    def blocks(self) -> Iterator[str]:
        """The paragraphs, tables and pictures from top to bottom. Pictures are drawn on the way."""
        yield from self._overview()
        if self.comparisons:
            yield from self._claims()
        for family in self.families:
            yield from self._scores(family)
        yield from self._curves()
        yield from self._ranks()
        yield from self._differences()
        yield from self._conflict()
        yield "## Cost of an app"
        yield (
            "Medians over strategies, tasks and seeds: seconds of training on the machine of the "
            "cells, trainable parameters, and size of what is added to the backbone (fp32)."
        )
        yield report_tables.cost_table(self.results)

    def _overview(self) -> Iterator[str]:
        suite, ids = self.suite, list(every_id(self.suite))
        cells = [self.results.cells[id] for id in ids if id in self.results.cells]
        yield "## What was run"
        yield (
            f"{len(suite.tasks)} tasks, {len(suite.strategies)} strategies, {len(suite.seeds)} "
            f"seed{'s' * (len(suite.seeds) > 1)} of stage 1 and {len(suite.adaptation_seeds)} of "
            "adaptation (draw of labelled rows, LoRA start, batch order). "
            f"{len(cells):,} of {len(ids):,} cells are there. "
            f"Encoder: {self.encoder or 'not known, for no backbone is there'}."
        )
        for line in self.results.mixed():
            yield f"**Note:** {line}."
        for versions in sorted({tuple(cell.versions.items()) for cell in cells}):
            yield "Made with " + ", ".join(map(" ".join, versions)) + "."

    def _claims(self) -> Iterator[str]:
        yield f"## {self.strategy} against each"
        coverage = sorted({each.over_seeds.coverage for each in self.comparisons} - {""})
        told = f" (coverage {' or '.join(coverage)} % if effects are normal, " * bool(coverage)
        told += "88 at least if they are exponential)" * bool(coverage)
        yield (
            "Mean over tasks of the difference in points, with a 95 % interval over both kinds "
            f"of seed{told}: same rows, same seeds for both; † marks an interval over one kind "
            "only. "
            "p: Wilcoxon's signed-rank test over tasks; beside it Holm's correction for the "
            "comparisons of the same rows and app. Detectable: the true difference that these "
            "seeds would have shown as significant with 80 % probability; less than that could "
            "not have been seen."
        )
        for family in self.families:
            if comparisons := [each for each in self.comparisons if each.column.family == family]:
                yield f"{name_of(family)}: {self.strategy} less …"
                yield report_tables.comparison_table(comparisons)

    def _scores(self, family: str) -> Iterator[str]:
        columns = [column for column in self.results.columns if column.family == family]
        metrics = sorted({task.score for task in self.results.tasks(columns[0])})
        yield f"## {name_of(family)}: scores"
        yield (
            f"Test sets whole, in percent ({', '.join(metrics)}); mean over seeds, that over "
            "tasks with its 95 % interval. Bold: best of the row."
        )
        for column in columns:
            yield report_tables.score_table(self.results, column)

    def _curves(self) -> Iterator[str]:
        curves: dict[str, dict[str, list[tuple[float, SeedInterval]]]] = {}
        for column in self.results.columns if len(self.suite.draws) > 1 else ():
            title = f"{name_of(column.family)}, {column.adapter}"
            for name, scores in self.results.complete(column).items():
                cells = self.results.cells_of(column, self.suite.strategy(name))
                rows = median(cell.train_rows for cell in cells if cell)
                points = curves.setdefault(title, {}).setdefault(name, [])
                points.append((rows, seed_interval(scores.mean(0))))
                points.sort(key=lambda point: point[0])
        text = "Mean over the tasks of a family against labelled rows; 95 % intervals over seeds."
        yield from self._picture("Learning curves", "curves", text, figures.plot_curves, curves)

    def _ranks(self) -> Iterator[str]:
        scores = {}
        for column in self.results.columns:
            means = {name: s.mean((1, 2)) for name, s in self.results.complete(column).items()}
            if len(means) > 2 and len(self.results.tasks(column)) > 1:
                scores[title_of(column)] = means
        text = (
            "Average rank over tasks, 1 is best. Strategies joined by a bar are closer than "
            "Nemenyi's critical difference: these tasks do not tell them apart."
        )
        yield from self._picture("Ranks", "ranks", text, figures.plot_ranks, scores)

    def _differences(self) -> Iterator[str]:
        panels: dict[str, list[TaskDifference]] = {}
        others = [each.name for each in self.suite.strategies if each.name != self.strategy]
        pairs = list(product(self.results.columns, others))
        for done, (column, other) in enumerate(pairs):
            self.progress(f"bootstrap: {title_of(column)}, less {other}", done, len(pairs))
            if differences := list(self.results.by_task(column, self.strategy, other)):
                panels.setdefault(title_of(column), []).extend(differences)
        self.progress("", len(pairs), len(pairs))
        text = (
            f"{self.strategy} less each other strategy on the test rows of each task, outcomes "
            "averaged over seeds; 95 % intervals of the paired bootstrap. They speak of other test "
            "rows, not of other seeds."
        )
        yield from self._picture("By task", "differences", text, figures.plot_differences, panels)

    def _conflict(self) -> Iterator[str]:
        suite = self.suite
        runs = read_conflicts(
            {
                strategy.name: suite.backbone(strategy, suite.seeds[0], self.out)
                for strategy in suite.strategies
                if not strategy.discard_primary
            }
        )
        text = (
            "Cosine of the families' gradients by layer and step of stage 1, first seed: red is "
            "conflict, blue agreement."
        )
        draw = partial(plot_conflicts, title="")
        yield from self._picture("Conflict in stage 1", "conflict", text, draw, runs)

    def _picture(
        self, title: str, name: str, text: str, draw: Callable[[Any, Path], None], data: Any
    ) -> Iterator[str]:
        """A section with a picture; nothing if there are no data for it."""
        if data:
            draw(data, self.folder / FIGURES / f"{name}.svg")
            yield f"## {title}"
            yield text
            yield f"![{title}]({FIGURES}/{name}.svg)"
