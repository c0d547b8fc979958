"""Folders of every kind, and changes that a fault of a disk or a person may make to them."""

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

from onetrunk.apps.app import load_app
from onetrunk.apps.engine import Engine
from onetrunk.apps.load import load_apps
from onetrunk.bundle.app_folder import read_app
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

TEXTS = ["mum met ann in new york", "play some music by the river", "12:30 at the bank"]
WRONG = [None, True, -1, 0, 3, 10**400, 0.5, "", "x", "ner", [], [[]], ["a"], [1], {}, {"a": {}}]
STRANGE = [
    *("adapter_config.json", "added_tokens.json", "special_tokens_map.json", "vocab.txt"),
    *("chat_template.jinja", "generation_config.json", "model.safetensors.index.json"),
    *("modeling_bert.py", "pytorch_model.bin", "tokenizer.model", "notes.txt", "adapter"),
]
RECORDS = {"app": "app.json", "backbone": "onetrunk.json", "bundle": "bundle.json", "encoder": ""}
"""By kind of folder, the file with its seal; an encoder is of other makers and has none."""
SECONDS, BYTES = 20, 2**30
"""What reading one folder may take, in memory beyond what is in use."""


class Folders:
    """A whole folder of each kind in ``place``, from the backbone and the apps of fixtures."""

    def __init__(self, fixtures: Path, place: Path) -> None:
        self.place = place
        backbone = Backbone.load(fixtures / "backbone")
        apps = load_apps(sorted((fixtures / "apps").iterdir()), backbone)
        shutil.copytree(fixtures / "backbone", place / "encoder")
        shutil.rmtree(place / "encoder" / "primary")
        (place / "encoder" / "onetrunk.json").unlink()
        backbone.save(place / "backbone")
        self.whole = Backbone.load(place / "backbone")
        for app in apps.values():
            app.backbone = self.whole
        apps["calendar"].save(place / "app")
        export_bundle(self.whole, apps, place / "bundle", "fp32")
        self.runtime = Runtime(place / "bundle", threads=1)
        self.apps = sorted((fixtures / "apps").iterdir())
        self.want = {kind: self.answers(kind, place / kind) for kind in RECORDS}

    def answers(self, kind: str, folder: Path) -> Any:
        """What a folder answers. Raises :class:`UserError` if it is refused."""
        if kind == "app":
            read_app("app", folder, self.runtime.bundle, self.runtime._sessions.shapes)
            return Engine(self.whole, {"app": load_app(folder, self.whole)}).predict(TEXTS)
        if kind == "bundle":
            return Runtime(folder, threads=1).predict(TEXTS)
        backbone = Backbone.load(folder)
        if kind == "encoder":
            return None
        return Engine(backbone, load_apps(self.apps, backbone)).predict(TEXTS)

    def check(self, kind: str, rng: random.Random, folder: Path) -> str | None:
        """Change a copy of a folder at ``folder``: it has to be refused in a line, which is
        returned, or to answer as before. A record without its seal may name other labels: then
        alone may an answer change.

        Raises AssertionError, or whatever reading raises."""
        shutil.copytree(self.place / kind, folder)
        what = mutate(folder, rng)
        try:
            with limits():
                got = self.answers(kind, folder)
        except UserError as error:
            said = str(error)
            assert "\n" not in said, what
            assert len(said) < 600, what
            # Weights are mapped into memory, which a limit counts though it takes none.
            mapped = "model.safetensors is damaged" in said
            assert mapped or "memory" not in said.lower(), f"{what}: {said}"
            return said
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise AssertionError(what) from error
        else:
            assert got == self.want[kind] or not _sealed(folder / RECORDS[kind]), what
            return None
        finally:
            shutil.rmtree(folder)


def _sealed(record: Path) -> bool:
    return "seal" in json.loads(record.read_text())


def mutate(folder: Path, rng: random.Random) -> str:
    """Change something, and say what."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    path = rng.choice(files)
    ways = [_flip, _cut, _lengthen, _replace, _replace, _swap, _add]
    if path.suffix == ".json":
        ways += [_change_a_value] * 6
    way = rng.choice(ways)
    way(path, rng)
    return f"{way.__name__} {path.relative_to(folder)}"


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def _lengthen(path: Path, rng: random.Random) -> None:
    """By a few bytes, or to far more than memory, in a file that takes no room on the disk."""
    os.truncate(path, path.stat().st_size + rng.choice([1, 7, 2**40]))


def _replace(path: Path, rng: random.Random) -> None:
    path.unlink()
    _put_something(path, rng)


def _put_something(path: Path, rng: random.Random) -> None:
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


def _swap(path: Path, rng: random.Random) -> None:
    other = rng.choice([file for file in sorted(path.parent.iterdir()) if file.is_file()])
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def _add(path: Path, rng: random.Random) -> None:
    added = path.with_name(rng.choice(STRANGE))
    if not os.path.lexists(added):
        _put_something(added, rng)


def _change_a_value(path: Path, rng: random.Random) -> None:
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


class Hangs(BaseException):
    """Something is waited for. No handler of faults may take it for one."""


@contextmanager
def limits(seconds: int = SECONDS, memory: int = BYTES) -> Iterator[None]:
    """Raise :class:`Hangs` if the block takes longer, and MemoryError if it takes more memory
    (address space) than is in use, by so many bytes."""

    def stop(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, stop)
    room = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, room[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, room)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
