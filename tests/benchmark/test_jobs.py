"""Jobs that several processes share."""

from pathlib import Path

import pytest
from filelock import FileLock

from onetrunk.benchmark import jobs
from onetrunk.benchmark.jobs import file_job, json_job, taken, work
from onetrunk.storage import read_json


def test_a_job_waits_for_what_it_needs_and_is_done_once(tmp_path: Path) -> None:
    first, second = tmp_path / "a/first.json", tmp_path / "second"
    made = []

    def make() -> dict[str, int]:
        made.append("first")
        return {"x": 1}

    listed = [
        file_job(second, lambda: second.write_text(first.read_text()), needs=first),
        json_job(first, make),
    ]
    work(listed)
    assert read_json(first, "a result") == {"x": 1}
    assert second.read_text() == first.read_text()
    work(listed)
    assert made == ["first"]


def test_a_taken_job_is_left_to_whoever_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "x.json", tmp_path / "y.json"
    waits = []

    def waiting() -> None:
        waits.append(other.exists())
        file.write_text("by another process")

    monkeypatch.setattr(jobs, "WAIT", 0.0)
    with FileLock(tmp_path / ".x.json.lock"):
        work([json_job(file, lambda: {}), json_job(other, lambda: {})], waiting)
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
