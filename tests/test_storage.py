from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from onetrunk import replacing
from onetrunk.errors import UserError
from onetrunk.storage import (
    ANYTHING,
    atomic_file,
    atomic_folder,
    read_json,
    refuse_existing,
    sha256_of_files,
    write_json,
)


def fill(folder: Path, content: str) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text(content)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_folder_appears_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with atomic_folder(target) as folder:
        fill(folder, "new")
        assert not target.exists()
        assert folder.parent == target.parent
    assert (target / "sub" / "file").read_text() == "new"
    assert listing(tmp_path) == ["a", "a/b", "a/b/sub", "a/b/sub/file"]
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, UserError])
@pytest.mark.parametrize("before", [True, False])
def test_an_exception_leaves_nothing_and_the_target_untouched(
    tmp_path: Path, error: type[BaseException], before: bool
) -> None:
    target = tmp_path / "target"
    if before:
        target.mkdir()
        fill(target, "old")
    want = listing(tmp_path)

    def interrupted() -> None:
        with atomic_folder(target, True, ANYTHING) as folder:
            fill(folder, "new")
            raise error("stop")

    with pytest.raises(error, match="stop"):
        interrupted()
    assert listing(tmp_path) == want
    if before:
        assert (target / "sub" / "file").read_text() == "old"


@pytest.mark.parametrize("exchanges", [True, False])
def test_overwrite_replaces_the_whole_folder(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:  # as on a system that cannot
        monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)
    target = tmp_path / "target"
    target.mkdir()
    (target / "stale").write_text("old")
    with atomic_folder(target, True, ANYTHING) as folder:
        fill(folder, "new")
        assert (target / "stale").exists()  # until the very end
    assert listing(tmp_path) == ["target", "target/sub", "target/sub/file"]


def test_without_overwrite_a_filled_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "stale").write_text("old")
    with pytest.raises(UserError, match=r"already exists: .*--overwrite"), atomic_folder(target):
        pytest.fail("the block ran")
    assert listing(tmp_path) == ["target", "target/stale"]
    with pytest.raises(UserError, match="already exists"):
        refuse_existing(target)
    refuse_existing(target, True, ANYTHING)


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with atomic_folder(target) as folder:
        fill(folder, "new")
    assert listing(tmp_path) == ["target", "target/sub", "target/sub/file"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    with pytest.raises(UserError, match="is a file"), atomic_folder(target, overwrite):
        pytest.fail("the block ran")
    assert target.read_text() == "precious"
    assert listing(tmp_path) == ["target"]


def test_a_failed_swap_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "stale").write_text("old")
    rename = Path.rename

    def failing(self: Path, to: Any) -> Path:
        if self.name.endswith(".partial"):
            raise OSError("disk trouble")
        return rename(self, to)

    monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)

    def swap() -> None:
        with atomic_folder(target, True, ANYTHING) as folder:
            fill(folder, "new")
            monkeypatch.setattr(Path, "rename", failing)

    with pytest.raises(OSError, match="disk trouble"):
        swap()
    assert (target / "stale").read_text() == "old"
    assert listing(tmp_path) == ["target", "target/stale"]


@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "disk" / "real").mkdir(parents=True)
        fill(tmp_path / "disk" / "real", "old")
        (tmp_path / "disk" / "file").write_text("old")
    (tmp_path / "link").symlink_to("disk/real")
    (tmp_path / "file").symlink_to("disk/file")
    with atomic_folder(tmp_path / "link", there, ANYTHING) as folder:
        fill(folder, "new")
    with atomic_file(tmp_path / "file") as file:
        file.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "file", "link"}
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {"file", "real"}
    assert (tmp_path / "disk" / "real" / "sub" / "file").read_text() == "new"
    assert (tmp_path / "disk" / "file").read_text() == "new"


def test_names_that_cannot_be_written_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for name, fault in (("a", "leads to itself"), ("caf\udce9", "not a name in UTF-8")):
        with pytest.raises(UserError, match=fault):
            refuse_existing(tmp_path / name)
    with pytest.raises(UserError, match="null is a file"):
        refuse_existing(Path("/dev/null"), overwrite=True)
    with pytest.raises(OSError, match="name too long"):
        refuse_existing(tmp_path / ("a" * 245))


@pytest.mark.parametrize("name", ["notes.txt", ".git/HEAD", "figures/deep/a.svg", "figures/a.txt"])
def test_what_we_did_not_write_is_not_deleted(tmp_path: Path, name: str) -> None:
    contents, target = ("report.json", "figures/*.svg"), tmp_path / "report"
    (target / name).parent.mkdir(parents=True)
    (target / name).write_text("mine")
    (target / ".DS_Store").write_text("")
    with pytest.raises(UserError, match=r"has no report\.json, so onetrunk did not write it"):
        refuse_existing(target, True, contents)
    with pytest.raises(UserError, match="is not empty, and onetrunk did not write it"):
        refuse_existing(target, True)
    (target / "report.json").write_text("{}")
    with pytest.raises(UserError, match=f"and {name} in it would be lost"):
        refuse_existing(target, True, contents)
    (target / name).rename(tmp_path / "away")
    with atomic_folder(target, True, contents) as folder:
        (folder / "report.json").write_text("{}")
    assert listing(target) == ["report.json"]


def test_a_link_in_a_folder_is_somebody_s(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "app" / "figures").mkdir(parents=True)
    (tmp_path / "app" / "report.json").write_text("{}")
    (tmp_path / "app" / "data").symlink_to("../data")
    with pytest.raises(UserError, match="and data in it would be lost"):
        refuse_existing(tmp_path / "app", True, ("report.json", "figures/*.svg"))


def test_what_comes_while_a_folder_is_made_stays(tmp_path: Path) -> None:
    target = tmp_path / "report"
    target.mkdir()
    (target / "report.json").write_text("{}")

    def replaced() -> None:
        with atomic_folder(target, True, ("report.json",)):
            (target / "notes.txt").write_text("mine")

    with pytest.raises(UserError, match=r"notes\.txt in it would be lost"):
        replaced()
    assert listing(tmp_path) == ["report", "report/notes.txt", "report/report.json"]


@pytest.fixture
def threads_take_turns_quickly() -> Iterator[None]:
    """A thread that looks all the time would let another one wait for 5 ms at each step."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2")
@pytest.mark.usefixtures("threads_take_turns_quickly")
def test_a_folder_that_is_replaced_is_never_missing(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with atomic_folder(target) as folder:
        fill(folder, "0")
    done = threading.Event()
    missing = []

    def look() -> None:
        while not done.is_set():
            if not (target / "sub" / "file").exists():
                missing.append(True)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(30):
        with atomic_folder(target, True, ANYTHING) as folder:
            fill(folder, str(number))
    done.set()
    watcher.join()
    assert not missing
    assert listing(tmp_path) == ["target", "target/sub", "target/sub/file"]


def test_json_round_trip_is_readable_utf8(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    value = {"name": "日本 😀 é", "list": [1, 2.5, None], "nested": {"a": True}}
    write_json(file, value)
    assert read_json(file, "a record") == value
    raw = file.read_bytes()
    assert "日本 😀 é".encode() in raw
    assert raw.endswith(b"\n")
    write_json(file, {"b": 1})
    assert read_json(file, "a record") == {"b": 1}
    assert listing(tmp_path) == ["x.json"]


def test_what_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert read_json(file, "a record") == {"a": 1}
    assert listing(tmp_path) == ["x.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.json is damaged: not JSON"),
        (b'{"a": 1', "x.json is damaged: not JSON"),
        (b"\xff\xfe{}", "x.json is damaged: not JSON"),
        (b"[1, 2]", "x.json is damaged: a JSON object was expected"),
        (b"null", "x.json is damaged: a JSON object was expected"),
    ],
)
def test_damaged_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_json(tmp_path / "x.json", "a record")


def test_missing_json_says_what_the_folder_should_have_been(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path} is not an app folder: it has no app.json"):
        read_json(tmp_path / "app.json", "an app folder")


def test_json_inside_a_file_says_what_the_folder_should_have_been(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("not a folder")
    with pytest.raises(
        UserError, match="app is a file, not an app: name a folder that `onetrunk adapt` wrote"
    ):
        read_json(tmp_path / "app" / "app.json", "an app folder")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 1000)
    assert sha256_of_files(tmp_path / "x") == hashlib.sha256(b"abc" * 1000).hexdigest()


@pytest.mark.parametrize("record", ["config.json", "app.json", "evaluation.json"])
def test_a_backbone_is_replaced_by_a_backbone_alone(tmp_path: Path, record: str) -> None:
    for name in ("onetrunk.json", "config.json", "evaluation.json"):
        (tmp_path / name).write_text("{}")
    refuse_existing(tmp_path, True, ("onetrunk.json", "config.json", "evaluation.json"))
    with pytest.raises(UserError, match="is a backbone, which is not replaced"):
        refuse_existing(tmp_path, True, (record, "*"))


def test_a_folder_is_for_other_users_too(tmp_path: Path) -> None:
    """safetensors writes files that only their owner may read."""
    with atomic_folder(tmp_path / "app") as folder:
        (folder / "primary").mkdir(mode=0o700)
        save_file({"x": np.zeros(3)}, folder / "primary" / "x.safetensors")
        write_json(folder / "app.json", {})
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "app").rglob("*")}
    assert modes["primary"] == 0o755
    assert {modes["x.safetensors"], modes["app.json"]} <= {0o644, 0o664, 0o666}
    assert (tmp_path / "app").stat().st_mode & 0o777 == 0o755
