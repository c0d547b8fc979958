"""Jobs that several processes share."""

from pathlib import Path

import pytest
from filelock import FileLock

from onetrunk.benchmark import jobs
from onetrunk.benchmark.jobs import Job, taken, work


def file_job(path: Path, needs: Path | None = None) -> Job:
    """A job that makes a file."""
    lock = path.with_name(f".{path.name}.lock")
    ready = needs.exists if needs else lambda: True
    return Job(lock, path.exists, lambda: path.write_text("made here"), ready)


def test_a_job_waits_for_what_it_needs_and_is_done_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    made = []

    def make() -> None:
        made.append(first.name)
        first.touch()

    jobs_in_order = [
        file_job(second, needs=first),
        Job(tmp_path / "locks/first.lock", first.exists, make),
    ]
    work(jobs_in_order)
    assert second.read_text() == "made here"
    work(jobs_in_order)
    assert made == ["first"]


def test_a_taken_job_is_left_to_whoever_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "x", tmp_path / "y"
    waits = []

    def waiting() -> None:
        waits.append(other.exists())
        file.write_text("by another process")

    monkeypatch.setattr(jobs, "WAIT", 0.0)
    with FileLock(tmp_path / ".x.lock"):
        work([file_job(file), file_job(other)], waiting)
    assert file.read_text() == "by another process"
    assert waits == [True]


def test_a_lock_is_free_after_the_block(tmp_path: Path) -> None:
    lock = tmp_path / "locks/x.lock"
    for _ in range(2):
        with taken(lock) as free:
            assert free
            with taken(lock) as again:
                assert not again
    with pytest.raises(RuntimeError), taken(lock):
        raise RuntimeError
    with taken(lock) as free:
        assert free
