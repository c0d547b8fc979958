"""What takes the place of something, killed at every step, and beside other writers."""

from __future__ import annotations

import errno
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onetrunk import replacing
from onetrunk.errors import UserError
from onetrunk.kinds import kind_of
from onetrunk.replacing import held
from onetrunk.storage import ANYTHING, atomic_file, atomic_folder, read_json, write_json, write_text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, and needs locks of files")

Killed = Callable[[Callable[[], object]], Iterator[int]]


def write(path: Path, number: int) -> None:
    with atomic_folder(path, True, ANYTHING) as folder:
        write_json(folder / "app.json", {"number": number})
        (folder / "sub").mkdir()
        write_text(folder / "sub" / "file", str(number))


def read(path: Path) -> int:
    number = int(read_json(path / "app.json", "an app")["number"])
    assert (path / "sub" / "file").read_text() == str(number)
    assert len(list(path.rglob("*"))) == 3
    return number


@pytest.fixture(params=["exchange", "renames"])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param == "renames":  # as on a system that cannot exchange folders
        monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)
    return bool(request.param == "exchange")


def test_a_folder_killed_at_any_step_is_the_old_or_the_new_one(
    tmp_path: Path, exchanges: bool, killed_before_each_step: Killed
) -> None:
    path, seen, left = tmp_path / "app", [], 0
    write(path, 0)
    for step in killed_before_each_step(lambda: write(path, 1)):
        left += len(list(tmp_path.iterdir())) > 1
        seen.append(read(path))
        assert seen == sorted(seen), f"step {step}: the old one after the new one"
        write(path, 0)
        assert [entry.name for entry in tmp_path.iterdir()] == ["app"], step
    assert len(seen) > 15
    assert left > 8
    assert seen[0] == 0
    assert seen[-1] == 1


def test_a_new_folder_killed_at_any_step_is_whole_or_absent(
    tmp_path: Path, killed_before_each_step: Killed
) -> None:
    path, seen = tmp_path / "app", []
    for _ in killed_before_each_step(lambda: write(path, 1)):
        seen.append(path.exists())
        if path.exists():
            assert read(path) == 1
        write(path, 0)
        assert [entry.name for entry in tmp_path.iterdir()] == ["app"]
        for file in (path / "app.json", path / "sub" / "file"):
            file.unlink()
        (path / "sub").rmdir()
        path.rmdir()
    assert seen[0] is False
    assert seen[-1] is True


def test_a_file_killed_at_any_step_is_the_old_or_the_new_one(
    tmp_path: Path, killed_before_each_step: Killed
) -> None:
    path = tmp_path / "file"
    for _ in killed_before_each_step(lambda: write_text(path, "new" * 1000)):
        assert not path.exists() or path.read_text() in ("old", "new" * 1000)
        write_text(path, "old")
        assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("look", [kind_of, lambda path: read_json(path / "app.json", "an app")])
def test_whoever_looks_finishes_what_was_cut_in_two(tmp_path: Path, look: Any) -> None:
    path = tmp_path / "app"
    write(path, 0)
    write(tmp_path / ".app.abc_12.partial", 1)
    path.rename(tmp_path / ".app.abc_12.old")
    assert look(path)
    assert read(path) == 1


def test_a_writer_goes_on_if_another_process_finished_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rename = tmp_path / "app", Path.rename
    write(path, 0)

    def first_finished(self: Path, to: Any) -> Path:
        if self.suffix == ".partial":
            replacing.finish_replacing(path)
        return rename(self, to)

    monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", _once(first_finished, rename))
    write(path, 1)
    monkeypatch.undo()
    assert read(path) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["app"]


def _once(first: Callable[..., Path], then: Callable[..., Path]) -> Callable[..., Path]:
    """``first`` for the first partial folder, ``then`` for what it calls itself."""
    is_inside = False

    def call(self: Path, to: Any) -> Path:
        nonlocal is_inside
        if is_inside:
            return then(self, to)
        is_inside = True
        try:
            return first(self, to)
        finally:
            is_inside = False

    return call


def test_only_what_is_of_this_name_is_removed(tmp_path: Path) -> None:
    kept = [".app.b.abc.partial", ".app.b.abc.old", ".other.abc.partial", ".app.abc", "app.partial"]
    for name in [*kept, ".app.abc.partial", ".app.abc.old"]:
        write(tmp_path / name, 1)
    write_text(tmp_path / ".app.file.partial", "a file")
    path = tmp_path / "app"
    write(path, 0)
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {*kept, ".app.file.partial", "app"}


def test_the_only_copy_is_never_removed(tmp_path: Path) -> None:
    """As an earlier version left it."""
    write(tmp_path / ".app.abc.old" / "was", 0)
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "app"):
        raise ZeroDivisionError
    assert read(tmp_path / ".app.abc.old" / "was") == 0


class Other:
    """Another process, inside of a block of ``work`` until it is told to go on."""

    def __init__(self, work: Callable[[], Any]) -> None:
        fork = multiprocessing.get_context("fork")
        self._pipe, other = fork.Pipe()

        def run() -> None:
            try:
                with work():
                    other.send("inside")
                    other.recv()
                other.send("done")
            except UserError as error:
                other.send(str(error))

        self.process = fork.Process(target=run)
        self.process.start()
        assert self._pipe.poll(20)
        self.first_word = self._pipe.recv()

    def go_on(self) -> Any:
        self._pipe.send("go on")
        assert self._pipe.poll(20)
        self.process.join()
        return self._pipe.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def test_what_a_living_writer_has_stays(tmp_path: Path, exchanges: bool) -> None:
    path = tmp_path / "app"

    def slow() -> Any:
        return atomic_folder(path, True, ANYTHING)

    write(path, 0)
    one, two = Other(slow), Other(slow)
    write(path, 1)
    assert len(list(tmp_path.glob(".app.*.partial"))) == 2
    two.kill()
    write(path, 2)
    assert len(list(tmp_path.glob(".app.*.partial"))) == 1
    assert read(path) == 2
    assert one.go_on() == "done"
    assert list(path.iterdir()) == []  # that is what it wrote
    assert [entry.name for entry in tmp_path.iterdir()] == ["app"]


def test_of_two_writers_of_a_free_name_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app"
    one = Other(lambda: atomic_folder(path))
    with atomic_folder(path) as folder:
        write_text(folder / "file", "two")
    assert "already exists" in one.go_on()
    assert (path / "file").read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["app"]


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "file"
    one = Other(lambda: atomic_file(path))
    other = multiprocessing.get_context("fork").Process(target=write_text, args=(path, "two"))
    other.start()
    other.join(0.2)
    assert other.is_alive()
    assert one.go_on() == "done"
    other.join(20)
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_is_held_by_one_process_until_it_ends(tmp_path: Path) -> None:
    one = Other(lambda: held(tmp_path))
    with held(tmp_path, wait=False) as free:
        assert not free
    one.kill()
    with held(tmp_path, wait=False) as free:
        assert free
    with held(tmp_path / "missing", wait=False) as free:
        assert free


@pytest.mark.parametrize("fault", ["no module", "not supported"])
def test_without_locks_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    write(tmp_path / ".app.abc.partial", 1)

    class Refusing:
        LOCK_EX = LOCK_NB = 0

        def flock(self, *_: object) -> None:
            raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(replacing, "fcntl", None if fault == "no module" else Refusing())
    path = tmp_path / "app"
    write(path, 0)
    write(path, 2)
    with held(path, wait=False) as free:
        assert free
    assert read(path) == 2
    assert {entry.name for entry in tmp_path.iterdir()} == {"app", ".app.abc.partial"}


def test_many_writers_at_once_leave_one_whole_folder(tmp_path: Path, exchanges: bool) -> None:
    path = tmp_path / "app"
    write(path, 0)
    fork = multiprocessing.get_context("fork")

    def write_often(number: int) -> None:
        for _ in range(30):
            write(path, number)

    writers = [fork.Process(target=write_often, args=(number,)) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if exchanges:
            assert path.exists()
        kind_of(path)
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert read(path) > 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["app"]


def test_a_folder_that_cannot_be_held_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another process would take it for a leftover."""

    def no_descriptor(*_: object) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(replacing, "_locked", no_descriptor)
    with pytest.raises(OSError, match="too many open files"):
        write(tmp_path / "app", 0)
    assert not list(tmp_path.iterdir())
