"""What a user named or wrote is printed as it is, never read as rich's markup."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from onetrunk.cli import bars
from onetrunk.cli.bars import watched
from onetrunk.cli.console import console, printed_notes, say, stdout, wrote
from onetrunk.data.notes import Notes

ODD = ["[red]", "[/]", "[bold]x[/]", "[/bold]", "[link=a]b", ":smile:", "[[x]]", r"\[x]"]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "format-0.1"
Run = Callable[..., Any]


@pytest.mark.parametrize("odd", ODD)
def test_every_way_to_print(odd: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("column", odd, title=odd, caption=odd)
    table.add_row("cell", odd)
    notes = Notes()
    notes.add("odd rows", odd)
    say("error:", "bold red", odd)
    wrote(odd)
    console.print(odd)
    with printed_notes():
        notes.log()
    with watched(odd) as progress:
        progress(odd, 1, 2)
        progress(odd, 2, 2)
    stdout().print(table)
    stdout().rule(odd)
    captured = capsys.readouterr()
    *lines, bar = captured.err.splitlines()
    assert lines == [f"error: {odd}", f"wrote {odd}", odd, f"note: odd rows: 1 ({odd})"]
    assert bar.startswith(odd)
    assert bar.count(odd) == 2
    assert captured.out.count(odd) == 5


def test_names_labels_texts_and_files(run: Run, corpora: Path, tiny_encoder_folder: Any) -> None:
    data = corpora / "[bold]data[/].jsonl"  # a folder that ends in "["
    data.parent.mkdir()
    labels = ["[/]", "[red]"]
    rows = [{"text": f"call {i} [bold]", "label": labels[i % 2]} for i in range(8)]
    data.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    app = corpora / "[apps]" / "red"
    made = run(
        *("adapt", tiny_encoder_folder("bert"), "--family", "tc", "--train", data, "--out", app),
        *("--adapter", "linear", "--test", data),
    )
    assert made.code == 0, made.err
    assert f"wrote {app}  tc, linear" in made.err
    assert f"{data}:9)" in made.err  # the repeated row
    read = run("predict", app, "--text", "[bold] [/]", "--format", "pretty")
    assert read.code == 0, read.err
    assert read.out.startswith("[bold] [/]\n")
    assert all(f"{label} " in read.out for label in labels)
    for wrong in (corpora / "[apps]" / "[rde]", corpora / "[/]"):
        refused = run("predict", wrong, "--text", "x")
        assert refused.code == 2
        assert f"no such folder: {wrong}" in refused.err


def test_control_characters_do_not_reach_a_terminal(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = "a\x1b[31mred\x1b[0m\x07\x9b1m"
    result = run("predict", FIXTURES / "apps/intent", "--format", "pretty", "--text", odd)
    assert result.code == 0
    assert "\x1b" not in result.out
    assert "\x9b" not in result.out
    assert "a\u241b[31mred\u241b[0m\u2407\ufffd1m" in result.out
    say("error:", "bold red", odd)
    assert "\x1b[31m" not in capsys.readouterr().err


@pytest.mark.parametrize("width", [80, 100])
def test_a_bar_fits_the_line(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """What counts is whole; the note has the rest."""
    out = io.StringIO()
    narrow = Console(file=out, width=width, force_terminal=True, color_system=None, soft_wrap=True)
    monkeypatch.setattr(bars, "console", narrow)
    with watched("prefinetune") as progress:
        progress("preparing wikipedia_movie_title_extract: 120,000 rows", 1234, 20000)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()
    drawn = [line for line in lines if "1234" in line]
    assert drawn
    for line in drawn:
        assert len(line.rstrip()) <= width
        assert "1234/20000 0:00:0" in line
        assert "prepar" in line
