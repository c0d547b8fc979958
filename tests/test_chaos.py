"""The short form of `make chaos`: each command, killed at a random moment and before a change of a
file."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks"
NAMES = (
    "prefinetune", "adapt", "label", "benchmark", "export", "bundle", "annotate", "predict",
    "serve",
)  # fmt: skip
QUICK = ("prefinetune", "label", "bundle", "annotate", "predict")
KILLED_ELSEWHERE = ("prefinetune", "label", "annotate", "predict")
"""By tests of their own, at a moment. Here they are killed before a change of a file alone."""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import chaos

    return chaos


def test_every_command_is_there(chaos: Any) -> None:
    assert [*dict.fromkeys(one.name for one in chaos.commands())] == [*NAMES]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in NAMES],
)
def test_a_killed_command_loses_and_leaves_nothing(chaos: Any, tmp_path: Path, name: str) -> None:
    *_, command = [one for one in chaos.commands() if one.name == name]
    trial, tally = chaos.Trial(tmp_path, command), chaos.Tally()
    at_a_moment = int(name not in KILLED_ELSEWHERE)
    chaos.torment(trial, at_a_moment, 1, random.Random(name), tally)
    assert tally.failures == []
    assert tally.kills.total() == at_a_moment + 1


def test_what_is_lost_mixed_or_left_is_found(
    chaos: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the test: a command that writes in place and cleans nothing up."""
    from onetrunk import cli

    def write_in_place() -> None:
        for name in ("one", "two"):
            Path(name).write_text(sys.argv[1])
        Path("waste.partial").mkdir(exist_ok=True)
        Path("waste.partial").rmdir()
        raise SystemExit

    def state() -> dict[str, str]:
        return {name: Path(name).read_text() for name in ("one", "two") if Path(name).exists()}

    monkeypatch.setattr(cli, "main", write_in_place)
    monkeypatch.setattr(chaos, "make_inputs", lambda: None)
    trial = chaos.Trial(tmp_path, chaos.Command("x", "new", state, "old"))
    assert trial.steps == 4
    failures = []
    for step in range(trial.steps):
        trial.reset()
        answered = trial.kill(random.Random(), step)
        try:
            trial.check(answered, chaos.Tally())
        except chaos.Failed as error:
            failures.append(str(error))
    assert failures == ["parts of the earlier and of the new result together"]
    trial.reset()
    trial.command = chaos.Command("x", "other", state, "old")
    with pytest.raises(chaos.Failed, match="another result than an undisturbed one"):
        trial.check(0, chaos.Tally())
    trial.reset()
    (trial.folder / "one").unlink()
    with pytest.raises(chaos.Failed, match="lost: one"):
        trial.check(0, chaos.Tally())
    trial.reset()
    trial.command = chaos.Command("x", "new", state, "old")
    (trial.folder / ".one.partial").write_text("")
    with pytest.raises(chaos.Failed, match=r"other files .*\['.one.partial'\]"):
        trial.check(0, chaos.Tally())
