"""Commands in processes of their own: what they print and end with, in their order; Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from onetrunk import cli
from onetrunk.cli.side_by_side import side_by_side


def test_each_ends_and_prints_as_it_does_alone(run, tmp_path, capsys):
    commands = [
        ("onetrunk", "--version"),
        ("onetrunk", "evaluate"),
        ("onetrunk", "data", str(tmp_path / "absent.csv")),
        ("onetrunk", "--version"),
    ]
    alone = [run(*command[1:]) for command in commands]
    assert [result.code for result in alone] == [0, 2, 2, 0]
    with side_by_side() as processes:
        codes = processes.run(commands)
        for result in alone:
            assert next(codes) == result.code
            printed = capsys.readouterr()
            assert (printed.out, printed.err) == (result.out, result.err)


def test_they_run_at_the_same_time(monkeypatch, tmp_path):
    monkeypatch.setattr("onetrunk.cli.side_by_side.cores", lambda: 2)

    def meet(command):
        """Wait until the other one is there."""
        (tmp_path / command[0]).touch()
        until = time.monotonic() + 20
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return len(list(tmp_path.iterdir()))

    monkeypatch.setattr(cli, "run", meet)
    with side_by_side() as processes:
        assert list(processes.run([("onetrunk", "a"), ("onetrunk", "b")])) == [2, 2]


PROGRAM = """
import sys, time
from onetrunk import cli
from onetrunk.cli.side_by_side import side_by_side

def run(command):
    print("begun", flush=True, file=sys.__stdout__)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        return 130

if __name__ == "__main__":
    cli.run = run
    with side_by_side() as processes:
        for code in processes.run([("onetrunk", str(i)) for i in range(64)]):
            raise SystemExit(code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left(tmp_path, number):
    (tmp_path / "program.py").write_text(PROGRAM)
    program = subprocess.Popen(
        [sys.executable, tmp_path / "program.py"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True,
    )  # fmt: skip
    assert program.stdout.readline() == "begun\n"
    if number == signal.SIGINT:  # Ctrl-C reaches the whole group
        os.killpg(program.pid, number)
    else:
        program.kill()
    start = time.monotonic()
    _, err = program.communicate(timeout=30)  # ends when all have closed what they print to
    assert time.monotonic() - start < 20
    if number == signal.SIGINT:
        assert "ForkProcess" not in err, err
