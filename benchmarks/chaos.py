"""Kill every command at random: is anything lost, half-written or left over?

    python benchmarks/chaos.py [--kills 300] [--steps 150] [--seed 0] [--out results/chaos.json]

Nine commands run on a tiny random encoder: prefinetune, adapt, label, benchmark, export, bundle
(add, remove), annotate, predict, and serve while apps are put, taught and removed over HTTP. Each
run is a fork of this process, which has imported all that the command needs: imports take longer
than so small a work, and kills would fall into them. Nothing is plotted, for the same reason.

``--kills`` runs are killed by SIGKILL at a moment drawn from the duration of a run that nobody
disturbs; commands that take long get fewer. Then each command is killed before every change of a
file that Python makes (to open for writing, rename, delete, make a folder, …), or before
``--steps`` drawn ones where there are more. In every second run, folders cannot be exchanged, as on
systems without renameat2. After each kill:

- what is there is checked as a reader does it (hashes, fingerprints, a prediction): each part of
  the result is the earlier one or the new one, and none is lost;
- the same command runs again, to its end; or it says that nothing is left to do;
- then the result is that of an undisturbed run, and so is the list of all files, hidden ones too.

For serve, a change that was answered has to be there, and one that was not may be there. Most of
the time is spent on waiting for the disk: with TMPDIR on one in memory it takes half as long.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import pickle
import platform
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos_commands import Command, State, ask, commands, make_inputs, requests

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate"}
"""Python's audit events of changes, beside that of ``open``. They are raised before the change."""
PATIENCE = 120.0
ATTEMPTS = 20
"""A run may end before it is killed; so often it is begun again."""


@dataclass
class Tally:
    """What was seen of a command."""

    seconds: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    left: int = 0
    went_on: int = 0
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The values, named for a reader."""
        return {
            "seconds_of_a_run": [round(one, 2) for one in self.seconds],
            "killed": dict(sorted(self.kills.items())),
            "after_the_kill": dict(sorted(self.seen.items())),
            "next_run_found_finished_pieces": self.went_on,
            "kills_that_left_temporary_files": self.left,
            "temporary_files_after_the_next_run": 0 if not self.failures else None,
            "failures": self.failures,
        }


class Failed(Exception):
    """Something is lost, half-written or left over."""


class Trial:
    """The runs of a command in one folder, which is brought back to the earlier result for each."""

    def __init__(self, root: Path, command: Command) -> None:
        self.folder, self.template, self.log = root / "trial", root / "template", root / "log"
        self.command, self.exchanges = command, True
        self.folder.mkdir()
        in_fork(self.folder, make_inputs)
        if command.earlier and self.end(self.start(command.earlier)):
            raise SystemExit(f"{command.earlier}: {self.said()}")
        self.old = in_fork(self.folder, command.state)
        self.folder.rename(self.template)
        self.reset()
        start = time.perf_counter()
        self.states, self.steps, modules = self.undisturbed()
        self.seconds, self.new = time.perf_counter() - start, self.states[-1]
        for name in modules:
            with suppress(Exception):  # what only a fork can import
                importlib.import_module(name)
        self.files = self.listing()
        if self.new == self.old:
            raise SystemExit(f"{command.arguments} changes nothing")

    def reset(self) -> None:
        """Bring the earlier result back."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder, symlinks=True)

    def listing(self) -> list[str]:
        """All files and folders, hidden ones too."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def start(self, arguments: str, step: int = -1, report: int | None = None) -> int:
        """Start a command in a fork; returns its process id. It kills itself before ``step``."""
        self.log.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            if not self.exchanges:
                cannot_exchange()
            run_command(self.folder, self.log, arguments.split(), step, report)
        return child

    def end(self, child: int) -> int:
        """Wait for a command; returns its exit code, negative for a signal."""
        return wait(child, PATIENCE)

    def said(self) -> str:
        """What the latest command printed."""
        return self.log.read_text(errors="replace")

    def undisturbed(self) -> tuple[list[State], int, list[str]]:
        """The states that a run goes through, how many steps it makes, and what it imports."""
        read, write = os.pipe()
        child = self.start(self.command.arguments, report=write)
        os.close(write)
        states = [self.old]
        if self.command.name == "serve":
            states += self.ask_all(child)
            os.kill(child, signal.SIGTERM)
        with os.fdopen(read, "rb") as stream:
            content = stream.read()
        if self.end(child):
            raise SystemExit(f"{self.command.arguments}: {self.said()}")
        steps, modules = pickle.loads(content)
        return [*states, in_fork(self.folder, self.command.state)], steps, modules

    def ask_all(self, child: int) -> list[State]:
        """Make all requests to a service; returns what is on the disk after each."""
        address, states = self.address(child), []
        for request in requests():
            if not ask(address, *request):
                raise SystemExit(f"serve: no answer to {request[:2]}: {self.said()}")
            states.append(in_fork(self.folder, self.command.state))
        return states

    def address(self, child: int) -> str:
        """Where a service listens; empty if it ended before it did."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for line in self.said().splitlines() if self.log.exists() else ():
                if '"listening"' in line and line.endswith("}"):
                    return str(json.loads(line)["address"])
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return ""
            time.sleep(0.005)
        raise Failed("the service does not start")

    def kill(self, rng: random.Random, step: int | None) -> int | None:
        """Start the command and kill it, before a step or at a random moment; returns how many
        requests a service had answered by then, or None if the command ended before."""
        moment = rng.uniform(0, self.seconds) if step is None else PATIENCE
        start = time.perf_counter()
        child, answered = self.start(self.command.arguments, -1 if step is None else step), 0
        timer = threading.Timer(moment, os.kill, (child, signal.SIGKILL))
        timer.start()
        if self.command.name == "serve" and (address := self.address(child)):
            for request in requests():
                if not ask(address, *request):
                    break
                answered += 1
            else:
                os.kill(child, signal.SIGTERM)
        code = self.end(child)
        timer.cancel()
        timer.join()
        if code not in (0, -signal.SIGKILL):
            raise Failed(f"exit code {code} before the kill: {self.said()}")
        if code == 0:  # by now nothing is imported any more: it is faster than the first time
            self.seconds = min(self.seconds, time.perf_counter() - start)
            return None
        return answered

    def check(self, answered: int, tally: Tally) -> None:
        """After a kill: what is there, and what does the next run make of it?"""
        found = in_fork(self.folder, self.command.state)
        if self.command.name == "serve":
            if found not in self.states[answered : answered + 2]:
                raise Failed(f"after {answered} answers the bundle is in another state")
            tally.seen["all answered changes"] += 1
        else:
            tally.seen[self.kind_of(found)] += 1
        tally.left += any(is_temporary(name) for name in self.listing())
        tally.went_on += in_fork(self.folder, self.command.finished) > 0
        child = self.start(self.command.arguments)
        if self.command.name == "serve":
            address = self.address(child)
            for request in [*requests()][answered:]:
                if not ask(address, *request):
                    raise Failed(f"the next service does not answer: {self.said()}")
            os.kill(child, signal.SIGTERM)
        if code := self.end(child):
            done_twice = self.command.done_twice
            if not (found == self.new and done_twice and done_twice in self.said()):
                raise Failed(f"the next run ended with {code}: {self.said()}")
        if in_fork(self.folder, self.command.state) != self.new:
            raise Failed("the next run has another result than an undisturbed one")
        if extra := set(self.listing()) ^ set(self.files):
            raise Failed(f"other files than after an undisturbed run: {sorted(extra)}")

    def kind_of(self, found: State) -> str:
        """Whether a state is the earlier one, the new one, or a part of the new one."""
        for name, value in found.items():
            if value not in (self.old.get(name), self.new.get(name)):
                raise Failed(f"{name} is neither the earlier nor the new one")
        lost = sorted(self.old.keys() - found.keys())
        if lost and self.command.keeps_earlier:
            raise Failed(f"lost: {', '.join(lost)}")
        either = [name for name in found if self.old.get(name) != self.new.get(name)]
        if len({found[name] == self.old.get(name) for name in either}) > 1:
            raise Failed("parts of the earlier and of the new result together")
        if found == self.new:
            return "new result"
        if found == self.old:
            return "earlier result" if found else "nothing yet"
        is_old = all(found[name] == self.old.get(name) for name in either)
        return "part of the earlier result" if is_old and lost else "part of the new result"


def is_temporary(path: str) -> bool:
    """Whether a path is one that a writer uses for a while."""
    return path.endswith((".partial", ".old"))


def run_command(
    folder: Path, log: Path, arguments: Sequence[str], step: int, report: int | None
) -> None:
    """The process of a command. It does not return."""
    code = 1
    try:
        with log.open("wb") as stream:
            for number in (1, 2):
                os.dup2(stream.fileno(), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
        os.chdir(folder)
        os.environ["ONETRUNK_CACHE"] = "cache"
        for plot in ("plot_losses", "plot_conflict"):  # half of the time
            setattr(importlib.import_module("onetrunk.prefinetuning.run"), plot, lambda *_: None)
        steps = count_steps(step)
        sys.argv = ["onetrunk", *arguments]
        from onetrunk import cli

        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
        if report is not None:
            content = pickle.dumps((steps[0], [*sys.modules]))
            with os.fdopen(report, "wb") as pipe:
                pipe.write(content)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)


def count_steps(last: int) -> list[int]:
    """Count the changes of files from now on; before number ``last`` this process is killed."""
    steps = [0]

    def count(event: str, arguments: Any) -> None:
        if event in CHANGES or (event == "open" and arguments[2] & WRITING):
            if steps[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)
            steps[0] += 1

    sys.addaudithook(count)
    return steps


def in_fork(folder: Path, work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a fork, so that this process stays as it is: only imports happen
    here, and no threads start. Raises :class:`Failed` with what it raises."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.chdir(folder)
            logging.disable()
            content = pickle.dumps((True, work()))
        except BaseException as error:
            content = pickle.dumps((False, f"{type(error).__name__}: {error}"))
        with os.fdopen(write, "wb") as pipe:
            pipe.write(content)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        content = stream.read()
    if code := wait(child, PATIENCE):
        raise Failed(f"a check ended with {code}")
    is_well, value = pickle.loads(content)
    if not is_well:
        raise Failed(f"what is there cannot be read: {value}")
    return value


def wait(child: int, seconds: float) -> int:
    """The exit code of a process. Raises :class:`Failed` if it does not end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise Failed(f"a process hangs for {seconds:.0f} s")


def cannot_exchange() -> None:
    """From now on, as on a system that cannot give two folders each other's name."""
    from onetrunk import replacing

    replacing._exchange = lambda one, other: False


def torment(trial: Trial, kills: int, most: int, rng: random.Random, tally: Tally) -> None:
    """Kill a command at so many random moments, and before ``most`` of its steps."""
    steps = sorted(rng.sample(range(trial.steps), min(most, trial.steps)))
    for number, step in enumerate([*[None] * kills, *steps]):
        how = "at a moment" if step is None else "before a step"
        answered, attempts = None, 0
        trial.exchanges = number % 2 == 0
        try:
            while answered is None:
                attempts += 1
                if attempts > ATTEMPTS:
                    raise Failed(f"step {step} of {trial.steps} is never reached")
                trial.reset()
                answered = trial.kill(rng, step)
            tally.kills[how] += 1
            trial.check(answered, tally)
        except Failed as error:
            where = how if step is None else f"before step {step}"
            tally.failures.append(f"{trial.command.arguments}, {where}: {error}"[:2000])
            print(tally.failures[-1], file=sys.stderr, flush=True)
    tally.seconds.append(trial.seconds)


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` in whole parts of these weights."""
    ends = [round(total * sum(weights[:n]) / sum(weights)) for n in range(len(weights) + 1)]
    return [end - start for start, end in pairwise(ends)]


def report(tallies: Mapping[str, Tally], seed: int) -> dict[str, Any]:
    """The numbers so far."""
    both = [tally.kills for tally in tallies.values()]
    return {
        "kills": sum(kills["at a moment"] for kills in both),
        "kills_before_a_step": sum(kills["before a step"] for kills in both),
        "failures": sum(len(tally.failures) for tally in tallies.values()),
        "commands": {name: tally.as_json() for name, tally in tallies.items()},
        "seed": seed,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=300, help="at random moments")
    parser.add_argument("--steps", type=int, default=150, help="changes of files, a command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="one command")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    for key, value in {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}.items():
        os.environ[key] = value  # a fork has none of the threads of its parent
    chosen = [one for one in commands() if options.only in ("", one.name)]
    weights = [one.weight for one in chosen]
    rng, tallies = random.Random(options.seed), {one.name: Tally() for one in chosen}
    for command, kills in zip(chosen, shares(options.kills, weights), strict=True):
        tally = tallies[command.name]
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            torment(Trial(Path(folder), command), kills, options.steps, rng, tally)
        told = f"{tally.kills.total()} kills, {len(tally.failures)} failures"
        print(f"{command.arguments}: {told}", file=sys.stderr, flush=True)
        if options.out:  # after each: the rest takes long
            options.out.write_text(json.dumps(report(tallies, options.seed), indent=2) + "\n")
    results = report(tallies, options.seed)
    print(json.dumps(results, indent=2))
    sys.exit(1 if results["failures"] else 0)


if __name__ == "__main__":
    main()
