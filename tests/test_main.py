"""``python -m onetrunk``."""

import sys

import pytest

from onetrunk import __main__ as program
from onetrunk import cli


def test_it_runs_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    monkeypatch.setattr(cli, "main", lambda: runs.append("run"))
    program.main()
    assert runs == ["run"]


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "onetrunk.cli")
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit, match=r"the command line needs typer: pip install 'onetrunk\["):
        program.main()
