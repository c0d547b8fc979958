"""App folders that were changed after they were written: refused in one line, or harmless."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.apps.app import App, load_app, save_app
from onetrunk.apps.engine import Engine
from onetrunk.bundle.app_folder import read_app
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

TEXTS = ["mum met ann in new york", "play some music by the river", "12:30 at the bank"]
WRONG = [None, True, -1, 0, 3, 10**400, 0.5, "", "x", "ner", [], [[]], ["a"], [1], {}, {"a": {}}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_backbone: Any, make_app: Any) -> Any:
    """A backbone, a folder with an app of it, and a bundle without apps."""
    folder = tmp_path_factory.mktemp("place")
    backbone = make_backbone()
    (folder / "calendar").mkdir()
    save_app(make_app(backbone, "calendar"), backbone, folder / "calendar")
    export_bundle(backbone, {}, folder / "bundle", "fp32")
    return backbone, folder


def answers(backbone: Backbone, app: App) -> Any:
    return Engine(backbone, {"app": app}).predict(TEXTS)


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def replace(path: Path, rng: random.Random) -> None:
    path.unlink()
    made: list[Callable[[], object]] = [
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path.name),
        lambda: path.write_text("[" * 100_000),
        lambda: path.write_bytes(b""),
        lambda: None,
    ]
    rng.choice(made)()


def change_a_value(path: Path, rng: random.Random) -> None:
    record = json.loads(path.read_text())
    inside = record
    while True:
        key = rng.choice([*inside])
        if not isinstance(inside[key], dict) or not inside[key] or rng.random() < 0.3:
            break
        inside = inside[key]
    if rng.random() < 0.3:
        del inside[key]
    else:
        inside[key] = rng.choice(WRONG)
    if rng.random() < 0.5:  # as if it were of a time before seals
        record.pop("seal", None)
    path.write_text(json.dumps(record))


def mutate(folder: Path, rng: random.Random) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    path = rng.choice(files)
    ways = [flip, cut, replace]
    if path.suffix == ".json":
        ways += [change_a_value] * 4
    rng.choice(ways)(path, rng)


@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_changed_folder_is_refused_or_answers_as_before(
    place: Any, tmp_path: Path, count: int
) -> None:
    """Without its seal a record may name other labels: then alone may an answer change."""
    backbone, folder = place
    want = answers(backbone, load_app(folder / "calendar", backbone))
    runtime = Runtime(folder / "bundle")
    shapes = runtime._sessions.shapes
    rng, refused, said = random.Random(0), 0, list[str]()
    for number in range(count):
        changed = tmp_path / f"{number}"
        shutil.copytree(folder / "calendar", changed)
        mutate(changed, rng)
        sealed = "seal" in _record(changed)
        try:
            app = load_app(changed, backbone)
            got = answers(backbone, app)
            assert got == want or not sealed, f"{number}"
        except UserError as error:
            said.append(str(error))
            refused += 1
        try:
            read_app("calendar", changed, runtime.bundle, shapes)
        except UserError as error:
            said.append(str(error))
        shutil.rmtree(changed)
    assert refused > count / 2
    assert not [message for message in said if "\n" in message or len(message) > 600]


def _record(folder: Path) -> dict[str, Any]:
    path = folder / "app.json"
    try:
        return dict(json.loads(path.read_text())) if path.is_file() else {"seal": ""}
    except (ValueError, OSError, RecursionError, TypeError):
        return {"seal": ""}


def test_what_is_said(place: Any, tmp_path: Path) -> None:
    backbone, folder = place
    changed = tmp_path / "app"
    shutil.copytree(folder / "calendar", changed)
    config = changed / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": True}))
    with pytest.raises(UserError, match=r"adapter_config.json is not the file that was written"):
        load_app(changed, backbone)
    shutil.rmtree(changed)
    shutil.copytree(folder / "calendar", changed)
    path = changed / "app.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"labels": record["labels"][::-1]}))
    with pytest.raises(UserError, match=r"app.json is not the file that was written: it was chan"):
        load_app(changed, backbone)
    path.write_text(json.dumps(record | {"backbone": "elsewhere"}))
    load_app(changed, backbone)
