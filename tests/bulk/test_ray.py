"""Bulk answers on a local Ray cluster of two cores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from onetrunk.bulk.annotate import Machines, annotate
from onetrunk.bulk.record import Settings
from onetrunk.errors import UserError

ray: Any = pytest.importorskip("ray", reason="needs ray: pip install 'onetrunk[ray]'")
pytestmark = pytest.mark.slow  # a cluster takes 10 seconds to start
SMALL = Settings(partition_rows=50)
THREE = Machines("ray", workers=3)  # one finds no core, and is not waited for


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init("local", num_cpus=2, **options)
    yield
    ray.shutdown()


def test_a_killed_actor_costs_nothing(rows: Path, bundle: Path, tmp_path: Path) -> None:
    annotate([str(rows)], [bundle], str(tmp_path / "local"), None, SMALL, Machines(workers=1))
    killed: list[int] = []

    def kill_one(what: str, done: int, total: int | None) -> None:
        if done and not killed:
            found = workers_below(os.getpid())
            killed.append(found[0])
            os.kill(found[0], signal.SIGKILL)

    out = tmp_path / "ray"
    report = annotate([str(rows)], [bundle], str(out), None, SMALL, THREE, progress=kill_one)
    assert (report.workers, report.workers_lost, len(killed)) == (3, 1, 1)
    assert (report.rows, report.faults) == (1200, [])
    assert pq.read_table(out).equals(pq.read_table(tmp_path / "local"))
    parts = [file.name for file in out.glob("part-*")]
    assert len(parts) == report.partitions


def workers_below(pid: int) -> list[int]:
    """The processes of our actors among the descendants of a process."""
    found = []
    for files in Path("/proc").glob(f"{pid}/task/*/children"):
        for child in files.read_text().split():
            title = Path(f"/proc/{child}/cmdline").read_bytes()
            found += [int(child)] if title.startswith(b"ray::_Actor") else []
            found += workers_below(int(child))
    return found


def test_a_cluster_that_is_not_there(
    rows: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.shutdown()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # where Ray looks for one
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    out = tmp_path / "out"
    machines = Machines("ray", address="auto")
    with pytest.raises(UserError, match="the Ray cluster cannot be reached: "):
        annotate([str(rows)], [bundle], str(out), None, SMALL, machines)
    assert not out.exists()
