"""Folders that were changed after they were written: refused in one line, or harmless."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from onetrunk.apps.app import load_app, save_app
from onetrunk.apps.engine import Engine
from onetrunk.bundle.app_folder import read_app
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

TEXTS = ["mum met ann in new york", "play some music by the river", "12:30 at the bank"]
WRONG = [None, True, -1, 0, 3, 10**400, 0.5, "", "x", "ner", [], [[]], ["a"], [1], {}, {"a": {}}]
APPS = ("calendar", "spam", "nested")
RECORDS = {"app": "app.json", "backbone": "onetrunk.json", "bundle": "bundle.json", "encoder": ""}
STRANGE = [
    *("adapter_config.json", "added_tokens.json", "special_tokens_map.json", "vocab.txt"),
    *("chat_template.jinja", "generation_config.json", "model.safetensors.index.json"),
    *("modeling_bert.py", "pytorch_model.bin", "tokenizer.model", "notes.txt", "adapter"),
]
LIMIT_SECONDS, LIMIT_BYTES = 20, 2**30


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_backbone: Any, make_app: Any) -> Path:
    """A folder of each kind, by its kind."""
    folder = tmp_path_factory.mktemp("place")
    backbone = make_backbone()
    shutil.copytree(backbone.encoder.source, folder / "encoder")
    backbone.save(folder / "backbone")
    apps = {name: make_app(backbone, name) for name in APPS}
    (folder / "app").mkdir()
    save_app(apps["calendar"], backbone, folder / "app")
    export_bundle(backbone, apps, folder / "bundle", "fp32")
    return folder


Answer = Callable[[Path], Any]


@pytest.fixture
def answers(place: Path, make_app: Any) -> dict[str, Answer]:
    """By kind, what a folder of it answers."""
    whole = Backbone.load(place / "backbone")
    runtime = Runtime(place / "bundle")

    def of_app(folder: Path) -> Any:
        answers = Engine(whole, {"app": load_app(folder, whole)}).predict(TEXTS)
        read_app("app", folder, runtime.bundle, runtime._sessions.shapes)
        return answers

    def of_backbone(folder: Path) -> Any:
        backbone = Backbone.load(folder)
        apps = {name: make_app(backbone, name) for name in APPS}
        return Engine(backbone, apps).predict(TEXTS)

    def of_bundle(folder: Path) -> Any:
        return Runtime(folder, threads=1).predict(TEXTS)

    return {
        "app": of_app,
        "backbone": of_backbone,
        "encoder": lambda folder: Backbone.load(folder) and None,
        "bundle": of_bundle,
    }


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def lengthen(path: Path, rng: random.Random) -> None:
    """By a few bytes, or to far more than memory, in a file that takes no room on the disk."""
    os.truncate(path, path.stat().st_size + rng.choice([1, 7, 2**40]))


def replace(path: Path, rng: random.Random) -> None:
    path.unlink()
    put_something(path, rng)


def put_something(path: Path, rng: random.Random) -> None:
    made: list[Callable[[], object]] = [
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to("nowhere"),
        lambda: path.write_text("[" * 100_000),
        lambda: path.write_text('{"a":' * 100_000),
        lambda: path.write_text("{}"),
        lambda: path.write_bytes(b""),
        lambda: None,
    ]
    rng.choice(made)()


def swap(path: Path, rng: random.Random) -> None:
    other = rng.choice([file for file in sorted(path.parent.iterdir()) if file.is_file()])
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def add(path: Path, rng: random.Random) -> None:
    added = path.with_name(rng.choice(STRANGE))
    if not os.path.lexists(added):
        put_something(added, rng)


def change_a_value(path: Path, rng: random.Random) -> None:
    record = json.loads(path.read_text())
    inside = record
    while inside:
        keys = [*inside] if isinstance(inside, dict) else [*range(len(inside))]
        key = rng.choice(keys)
        if not isinstance(inside[key], dict | list) or not inside[key] or rng.random() < 0.3:
            break
        inside = inside[key]
    else:
        return
    if rng.random() < 0.3:
        del inside[key]
    else:
        inside[key] = rng.choice(WRONG)
    if rng.random() < 0.5 and isinstance(record, dict):  # as if it were of a time before seals
        record.pop("seal", None)
    path.write_text(json.dumps(record))


def mutate(folder: Path, rng: random.Random) -> str:
    """Change something, and say what."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    path = rng.choice(files)
    ways = [flip, cut, lengthen, replace, replace, swap, add]
    if path.suffix == ".json":
        ways += [change_a_value] * 6
    way = rng.choice(ways)
    way(path, rng)
    return f"{way.__name__} {path.relative_to(folder)}"


class Hangs(BaseException):
    """A folder that is waited for. No handler of faults may take it for one."""


@contextmanager
def limits() -> Iterator[None]:
    """Whatever is read must be read in time, and in little more memory than there is in use."""

    def stop(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    room = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    signal.alarm(LIMIT_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, room[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, room)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [*RECORDS])
def test_a_changed_folder_is_refused_or_answers_as_before(
    place: Path, answers: dict[str, Answer], tmp_path: Path, kind: str, count: int
) -> None:
    """Without its seal a record may name other labels: then alone may an answer change."""
    want, read = answers[kind](place / kind), answers[kind]
    rng, refused, said = random.Random(kind), 0, list[str]()
    for number in range(count):
        changed = tmp_path / f"{number}"
        shutil.copytree(place / kind, changed)
        what = f"{number}: {mutate(changed, rng)}"
        sealed = "seal" in _record(changed / RECORDS[kind])
        try:
            with limits():
                got = read(changed)
            assert got == want or not sealed, what
        except UserError as error:
            said.append(str(error))
            refused += 1
        except (Exception, Hangs) as error:
            raise AssertionError(what) from error
        shutil.rmtree(changed)
    assert refused > count / 3
    assert not [message for message in said if "\n" in message or len(message) > 600]
    # Weights are mapped into memory, which a limit counts though it takes none.
    said = [message for message in said if "model.safetensors is damaged" not in message]
    assert not [message for message in said if "memory" in message.lower()]


def _record(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text())) if path.is_file() else {"seal": ""}
    except (ValueError, OSError, RecursionError, TypeError, MemoryError):
        return {"seal": ""}


def test_what_is_said(place: Path, tmp_path: Path) -> None:
    backbone = Backbone.load(place / "backbone")
    changed = tmp_path / "app"
    shutil.copytree(place / "app", changed)
    config = changed / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": True}))
    with pytest.raises(UserError, match=r"adapter_config.json is not the file that was written"):
        load_app(changed, backbone)
    shutil.rmtree(changed)
    shutil.copytree(place / "app", changed)
    path = changed / "app.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"labels": record["labels"][::-1]}))
    with pytest.raises(UserError, match=r"app.json is not the file that was written: it was chan"):
        load_app(changed, backbone)
    path.write_text(json.dumps(record | {"backbone": "elsewhere"}))
    load_app(changed, backbone)
    bundle = tmp_path / "bundle"
    shutil.copytree(place / "bundle", bundle)
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pooling": "cls"}))
    with pytest.raises(UserError, match=r"bundle.json is not the file that was written: it was ch"):
        Runtime(bundle)
