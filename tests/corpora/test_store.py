"""Stores appear whole, are found again, and are made anew when damaged."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onetrunk.corpora.store import Prepared, Writer, cache_folder, prepared
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.storage import key_of


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Writes numbers in two appends, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, writer: Writer) -> dict[str, Any]:
        self.calls += 1
        writer.append("numbers", np.arange(10, dtype=np.int32))
        writer.append("numbers", np.arange(10, 400_000, dtype=np.int32))
        writer.append("none", np.empty(0, np.uint64))
        writer.notes.add("numbers", "seven")
        return {"rows": 7}


def test_made_once_and_mapped(cache: Path) -> None:
    make, notes = Maker(), [Notes(), Notes()]
    first = prepared("kind", "key", make, notes[0])
    second = prepared("kind", "key", make, notes[1])
    assert make.calls == 1
    assert [said.lines() for said in notes] == 2 * [["numbers: 1 (seven)"]]
    for store in (first, second, pickle.loads(pickle.dumps(first))):
        assert store.record == {"rows": 7}
        assert store.notes.lines() == ["numbers: 1 (seven)"]
        assert isinstance(store.arrays["numbers"], np.memmap)
        assert np.array_equal(store.arrays["numbers"], np.arange(400_000))
        assert store.arrays["numbers"].dtype == np.int32
        assert len(store.arrays["none"]) == 0
    assert not first.arrays["numbers"].flags.writeable
    prepared("kind", "other", make)
    assert make.calls == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "remove", "record", "no record"])
def test_damage_is_noticed_and_repaired(cache: Path, damage: str) -> None:
    make, notes = Maker(), Notes()
    folder = prepared("kind", "key", make).folder
    file = folder / "numbers.bin"
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[1_200_000] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "grow":
        file.write_bytes(data + b"\0")
    elif damage == "remove":
        file.unlink()
    elif damage == "record":
        (folder / "record.json").write_text("{}")
    else:
        (folder / "record.json").unlink()
    store = prepared("kind", "key", make, notes)
    assert make.calls == 2
    assert np.array_equal(store.arrays["numbers"], np.arange(400_000))
    line, _ = notes.lines()
    assert line.startswith("damaged cache made anew (")
    if damage == "flip":
        assert "block 1 of 2 was altered" in line


def test_a_failure_leaves_nothing(cache: Path) -> None:
    def fail(writer: Writer) -> dict[str, Any]:
        writer.append("numbers", np.arange(3))
        raise UserError("no")

    with pytest.raises(UserError):
        prepared("kind", "key", fail)
    assert [file.name for file in (cache / "kind").iterdir()] == ["key.lock"]


def test_threads_take_turns(cache: Path) -> None:
    make, stores = Maker(), []
    threads = [
        threading.Thread(target=lambda: stores.append(prepared("kind", "key", make)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert make.calls == 1
    assert len(stores) == 4


def test_rows_of_different_lengths(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.append("numbers", np.arange(6).reshape(2, 3))
    writer.append("starts", np.array([0, 2, 2, 6]))
    writer.close({})
    store = Prepared.open(tmp_path)
    rows = [store.part("numbers", "starts", row).tolist() for row in range(3)]
    assert rows == [[0, 1], [], [2, 3, 4, 5]]


def test_one_dtype_an_array(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.append("a", np.arange(3, dtype=np.int32))
    with pytest.raises(TypeError, match="a is int32, not int64"):
        writer.append("a", np.arange(3))


def test_keys_and_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert key_of(a=1, b=2) == key_of(b=2, a=1) != key_of(a=1, b=3)
    monkeypatch.delenv("ONETRUNK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "onetrunk"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home/.cache/onetrunk"
    with pytest.raises(UserError, match="is not a prepared corpus"):
        Prepared.open(tmp_path)


PROCESS = """
import sys, time
import numpy as np
from onetrunk.corpora.store import prepared

def make(writer):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    writer.append("numbers", np.arange(10, dtype=np.int32))
    time.sleep(0.5)
    writer.append("numbers", np.arange(10, 20, dtype=np.int32))
    return {}

assert prepared("kind", "key", make).arrays["numbers"].tolist() == list(range(20))
"""


def test_processes_take_turns(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", PROCESS, str(log)]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert log.read_text() == "made\n"


def test_a_process_that_was_killed_leaves_no_lock(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed = subprocess.Popen([sys.executable, "-c", PROCESS.replace("0.5", "60"), str(log)])
    while not log.exists():
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert prepared("kind", "key", Maker()).record == {"rows": 7}
