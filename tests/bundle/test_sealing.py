"""Folders that were changed after they were written: refused in one line, or harmless."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.apps.app import load_app
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError

KINDS = ["app", "backbone", "bundle", "encoder"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, script: Callable[[str], Any]) -> Any:
    fixtures = Path(__file__).parents[1] / "fixtures" / "format-0.1"
    return script("fuzz_folders").Folders(fixtures, tmp_path_factory.mktemp("folders"))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_folder_is_refused_or_answers_as_before(
    folders: Any, tmp_path: Path, kind: str, count: int
) -> None:
    rng = random.Random(kind)
    said = [folders.check(kind, rng, tmp_path / str(number)) for number in range(count)]
    assert sum(one is not None for one in said) > count / 3


def test_what_is_said(folders: Any, tmp_path: Path) -> None:
    changed = tmp_path / "app"
    shutil.copytree(folders.place / "app", changed)
    config = changed / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": True}))
    with pytest.raises(UserError, match=r"adapter_config.json is not the file that was written"):
        load_app(changed, folders.whole)
    shutil.rmtree(changed)
    shutil.copytree(folders.place / "app", changed)
    path = changed / "app.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"labels": record["labels"][::-1]}))
    with pytest.raises(UserError, match=r"app.json is not the file that was written: it was chan"):
        load_app(changed, folders.whole)
    path.write_text(json.dumps(record | {"backbone": "elsewhere"}))
    load_app(changed, folders.whole)
    bundle = tmp_path / "bundle"
    shutil.copytree(folders.place / "bundle", bundle)
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pooling": "cls"}))
    with pytest.raises(UserError, match=r"bundle.json is not the file that was written: it was ch"):
        Runtime(bundle)
