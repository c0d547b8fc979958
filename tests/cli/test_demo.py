"""``onetrunk demo``: the corpus alone, what is refused, and what is printed around its steps."""

from __future__ import annotations

import shlex
import sys

import pytest

from onetrunk import cli
from onetrunk.bundle.page import ORT
from onetrunk.demo import corpus
from onetrunk.demo import run as demo
from onetrunk.demo.corpus import Sizes, write_corpus


@pytest.fixture
def pretended(monkeypatch):
    """``pretended(run)``: the demo's commands are given to ``run``, the others to the package."""
    real = cli.run

    def pretend(run):
        monkeypatch.setattr(cli, "run", lambda command=None: run(command) if command else real())

    return pretend


@pytest.fixture
def small_corpus(monkeypatch):
    monkeypatch.setattr(corpus.write_corpus, "__defaults__", (0, Sizes(4, 8, 12, 12, 12), False))


def test_the_corpus_alone(run, tmp_path, small_corpus):
    out = tmp_path / "out"
    result = run("demo", "--corpus-only", out, "--seed", 2)
    assert result.code == 0
    assert "pre_pairs/reply/train.parquet: 2 rows" in result.out
    assert (out / "recipe.yaml").exists()
    again = run("demo", "--corpus-only", out)
    assert again.code == 2
    assert again.err.count("\n") == 1
    assert "already exists" in again.err
    other = run("demo", "--corpus-only", out, "--overwrite")
    assert other.code == 0
    assert other.out != result.out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_taken_or_a_missing_package_is_refused(run, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    taken = run("demo", "--out", tmp_path)
    assert (taken.code, taken.out) == (2, "")
    assert "already exists" in taken.err
    monkeypatch.setitem(sys.modules, "faker", None)
    lacking = run("demo", "--out", tmp_path / "new")
    assert lacking.code == 2
    assert lacking.err == "error: the demo needs Faker: pip install 'onetrunk[demo]'\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_commands_are_printed_as_typed_and_a_table_ends_it(run, tmp_path, monkeypatch, pretended):
    out = tmp_path / "out"
    commands = []

    def command_runs(command):
        commands.append(("onetrunk", *command))
        write_corpus(out / "corpus", sizes=Sizes(4, 8, 12, 12, 12), overwrite=True)
        return 0

    scores = {(strategy, app): [60.0] * 3 for strategy in demo.STRATEGIES for app in demo.APPS}
    scores["tpl", "spam"] = [72.25, 70.0, 74.5]
    pretended(command_runs)
    monkeypatch.setattr(demo, "read_scores", lambda suite, out: scores)
    monkeypatch.setenv("ONETRUNK_ORT", str(tmp_path / "nowhere"))
    result = run("demo", "--out", out)
    assert result.code == 0
    assert "no page for the browser" in result.err
    assert [line for line in result.out.splitlines() if line.startswith("$ ")] == [
        f"$ {shlex.join(command)}" for command in commands
    ]
    assert len(commands) == 11
    spam = next(line for line in result.out.splitlines() if "spam " in line and "+" in line)
    assert [cell.strip() for cell in spam.strip("│ ").split("│")] == [
        *("spam", "accuracy", "60.0 (60–60)", "72.2 (70–74)", "+12.2"),
    ]
    assert (out / "scores.png").exists()
    (tmp_path / "ort").mkdir()
    for name in ORT:
        (tmp_path / "ort" / name).touch()
    monkeypatch.setenv("ONETRUNK_ORT", str(tmp_path / "ort"))
    commands.clear()
    assert run("demo", "--out", out, "--overwrite").code == 0
    assert commands[-1][:3] == ("onetrunk", "bundle", "page")


def test_a_step_that_fails_ends_the_demo_with_its_code(run, tmp_path, pretended):
    commands = []
    pretended(lambda command: commands.append(command) or 7)
    assert run("demo", "--out", tmp_path / "out").code == 7
    assert len(commands) == 1


def test_an_interruption_says_where_the_finished_steps_are(run, tmp_path, pretended):
    pretended(lambda command: cli.INTERRUPTED)
    result = run("demo", "--out", tmp_path / "out")
    assert result.code == 130
    assert result.err == f"interrupted: what was finished is in {tmp_path / 'out'}\n"
