"""The report of a suite: scores, comparisons, pictures and costs, from its cells alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from onetrunk.benchmark.cells import every_id, load_cells
from onetrunk.benchmark.comparison import Results, TaskDifference
from onetrunk.benchmark.figures import plot_curves, plot_differences, plot_ranks
from onetrunk.benchmark.page import Picture, Section, html_page, markdown
from onetrunk.benchmark.report_tables import (
    comparison_table,
    cost_table,
    name_of,
    score_table,
    title_of,
)
from onetrunk.benchmark.statistics import SeedInterval, seed_interval
from onetrunk.benchmark.suite import Suite
from onetrunk.model.backbone import RECORD
from onetrunk.prefinetuning.log import read_conflicts
from onetrunk.prefinetuning.plot import plot_conflicts
from onetrunk.storage import atomic_folder, read_json, write_json, write_text

Progress = Callable[[str], None]

FIGURES = "figures"


def write_report(
    suite: Suite,
    out: Path,
    to: Path,
    strategy: str,
    overwrite: bool = False,
    progress: Progress = lambda what: None,
) -> Results:
    """Write the report of the cells in ``out`` to the folder ``to``: ``report.html`` (all in one
    file), ``report.md`` with ``figures/``, and ``report.json`` (the comparisons).

    ``strategy`` is the one that is held against each other one. Neither data nor backbones are
    needed, only conflict heat maps are drawn of the logs of backbones that are there.

    Raises :class:`UserError` for an unknown strategy, a damaged cell, a folder without cells.
    """
    suite.strategy(strategy)
    results = Results(suite, load_cells(out))
    with atomic_folder(to, overwrite) as folder:
        (folder / FIGURES).mkdir()
        report = _Report(results, out, folder, strategy, progress)
        sections, title = list(report.sections()), f"Benchmark: {strategy} and its alternatives"
        write_text(folder / "report.md", markdown(title, sections))
        write_text(folder / "report.html", html_page(title, sections, folder))
        write_json(folder / "report.json", report.content())
    return results


class _Report:
    def __init__(
        self, results: Results, out: Path, folder: Path, strategy: str, progress: Progress
    ) -> None:
        self.results, self.out, self.folder = results, out, folder
        self.strategy, self.progress = strategy, progress
        self.suite = results.suite
        self.comparisons = [
            comparison
            for column in results.columns
            for comparison in results.against_each(column, strategy)
        ]

    def content(self) -> dict[str, Any]:
        """For machines."""
        return {
            "strategy": self.strategy,
            "encoder": self._encoder(),
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
        }

    def sections(self) -> Iterator[Section]:
        """The page, top to bottom. Pictures are drawn on the way."""
        yield self._what()
        if self.comparisons:
            yield self._claims()
        for family in dict.fromkeys(column[0] for column in self.results.columns):
            yield self._scores(family)
        for section in (self._curves(), self._ranks(), self._differences(), self._conflict()):
            if section is not None:
                yield section
        yield self._costs()

    def _what(self) -> Section:
        suite, results = self.suite, self.results
        ids = list(every_id(suite))
        there = [results.cells[id] for id in ids if id in results.cells]
        texts = [
            f"{len(suite.tasks)} tasks, {len(suite.strategies)} strategies, {len(suite.seeds)} "
            f"seed{'s' * (len(suite.seeds) > 1)} of stage 1 and {len(suite.adaptation_seeds)} of "
            "adaptation (draw of labelled rows, LoRA start, batch order). "
            f"{len(there):,} of {len(ids):,} cells are there. "
            f"Encoder: {self._encoder() or 'not known, for no backbone is there'}."
        ]
        texts += [f"**Note:** {line}." for line in results.mixed()]
        for versions in sorted({tuple(cell.versions.items()) for cell in there}):
            texts.append("Made with " + ", ".join(" ".join(one) for one in versions) + ".")
        return Section("What was run", texts)

    def _claims(self) -> Section:
        families = dict.fromkeys(one.column[0] for one in self.comparisons)
        tables = [
            comparison_table([one for one in self.comparisons if one.column[0] == family])
            for family in families
        ]
        return Section(
            f"{self.strategy} against each",
            [
                "Mean over tasks of the difference in points, with a 95 % interval over both kinds "
                "of seed (same rows, same seeds for both); † marks an interval over one kind only. "
                "p: Wilcoxon's signed-rank test over tasks; beside it Holm's correction for the "
                "comparisons of the same rows and app. Detectable: the true difference that these "
                "seeds would have shown as significant with 80 % probability; less than that could "
                "not have been seen."
            ],
            tables,
        )

    def _scores(self, family: str) -> Section:
        columns = [column for column in self.results.columns if column[0] == family]
        metrics = sorted({task.score for task in self.results.tasks(columns[0])})
        text = (
            f"Test sets whole, in percent ({', '.join(metrics)}); mean over seeds, that over "
            "tasks with its 95 % interval. Bold: best of the row."
        )
        tables = [score_table(self.results, column) for column in columns]
        return Section(f"{name_of(family)}: scores", [text], tables)

    def _curves(self) -> Section | None:
        if len(self.suite.draws) < 2:
            return None
        curves: dict[str, Any] = {}
        for family, adapter in dict.fromkeys((c[0], c[2]) for c in self.results.columns):
            by_strategy: dict[str, list[tuple[float, SeedInterval]]] = {}
            for draw in self.suite.draws:
                column = (family, draw.name, adapter)
                for name, scores in self.results.complete(column).items():
                    cells = self.results.of_column(column, self.suite.strategy(name))
                    rows = median(cell.train_rows for cell in cells)
                    point = (rows, seed_interval(scores.mean(0)))
                    by_strategy.setdefault(name, []).append(point)
            if by_strategy:
                ordered = {n: sorted(p, key=lambda one: one[0]) for n, p in by_strategy.items()}
                curves[f"{name_of(family)}, {adapter}"] = ordered
        text = "Mean over the tasks of a family against labelled rows; 95 % intervals over seeds."
        return self._picture(
            "Learning curves", "curves", text, partial(plot_curves, curves), curves
        )

    def _ranks(self) -> Section | None:
        scores = {}
        for column in self.results.columns:
            found = {name: own.mean((1, 2)) for name, own in self.results.complete(column).items()}
            if len(found) > 2 and len(self.results.tasks(column)) > 1:
                scores[title_of(column)] = found
        text = (
            "Average rank over tasks, 1 is best. Strategies joined by a bar are closer than "
            "Nemenyi's critical difference: these tasks do not tell them apart."
        )
        return self._picture("Ranks", "ranks", text, partial(plot_ranks, scores), scores)

    def _differences(self) -> Section | None:
        panels = {}
        others = [one.name for one in self.suite.strategies if one.name != self.strategy]
        for column in self.results.columns:
            found: list[TaskDifference] = []
            for other in others:
                self.progress(f"bootstrap: {title_of(column)}, less {other}")
                found += self.results.by_task(column, self.strategy, other)
            if found:
                panels[title_of(column)] = found
        text = (
            f"{self.strategy} less each other strategy on the test rows of each task, outcomes "
            "averaged over seeds; 95 % intervals of the paired bootstrap. They speak of other test "
            "rows, not of other seeds."
        )
        return self._picture(
            "By task", "differences", text, partial(plot_differences, panels), panels
        )

    def _conflict(self) -> Section | None:
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
        draw = partial(plot_conflicts, runs, title="")
        return self._picture("Conflict in stage 1", "conflict", text, draw, runs)

    def _picture(
        self, title: str, name: str, text: str, draw: Callable[[Path], None], what: Any
    ) -> Section | None:
        if not what:
            return None
        draw(self.folder / FIGURES / f"{name}.svg")
        return Section(title, [text], pictures=[Picture(f"{FIGURES}/{name}.svg", title)])

    def _costs(self) -> Section:
        text = (
            "Medians over strategies, tasks and seeds: seconds of training on the machine of the "
            "cells, trainable parameters, and size of what is added to the backbone (fp32)."
        )
        return Section("Cost of an app", [text], [cost_table(self.results)])

    def _encoder(self) -> str:
        """As the recipe names it; of a folder, from here: a report travels."""
        for strategy in self.suite.strategies:
            folder = self.suite.backbone(strategy, self.suite.seeds[0], self.out)
            if (folder / RECORD).exists():
                recipe = read_json(folder / RECORD, "a backbone").get("recipe", {})
                encoder = str(recipe.get("encoder", ""))
                return os.path.relpath(encoder) if os.path.isabs(encoder) else encoder
        return ""
