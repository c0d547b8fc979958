"""Corpora at addresses: fetched once, again when they change, and then read as any other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from onetrunk.config import Recipe, load_recipe
from onetrunk.corpora import remote
from onetrunk.corpora.remote import local_copy
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.prefinetuning.run import prefinetune


@pytest.fixture
def memory(corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The small data sets below ``memory://data``, and an empty cache."""
    monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    for file in corpora.rglob("*.parquet"):
        store.put(str(file), f"/data/{file.relative_to(corpora).as_posix()}")
    yield store
    store.rm("/data", recursive=True)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are fetched."""
    paths: list[str] = []
    fetch = remote._fetch

    def counted(store: Any, path: str, *rest: Any) -> None:
        paths.append(path)
        fetch(store, path, *rest)

    monkeypatch.setattr(remote, "_fetch", counted)
    return paths


def recipe_of(encoder: Path, where: str, **changes: Any) -> Recipe:
    families = {
        "ner": {"batch_size": 8, "sources": [{"path": f"{where}/pre_ner/{n}"} for n in "ab"]},
        "tc": {"batch_size": 8, "sources": [{"path": f"{where}/pre_pairs/{n}"} for n in "cd"]},
    }
    data = {"encoder": str(encoder), "steps": 2, "k": 2, "precision": "fp32"}
    return Recipe.model_validate({**data, "families": families, **changes})


def test_a_backbone_from_addresses_is_that_from_files(
    memory: Any, corpora: Path, tiny_encoder_folder: Any, tmp_path: Path, fetched: list[str]
) -> None:
    encoder, said = tiny_encoder_folder(), []
    far = prefinetune(
        recipe_of(encoder, "memory://data"), tmp_path / "far",
        progress=lambda what, done, total: said.append(what),
    )  # fmt: skip
    assert len(fetched) == 4
    assert any("fetching memory://data/pre_ner/a: train.parquet" in what for what in said)
    near = prefinetune(recipe_of(encoder, str(corpora)), tmp_path / "near")
    assert far.fingerprint == near.fingerprint
    sources = [
        {key: value for key, value in one.items() if key != "path"}
        for one in Backbone.load(tmp_path / "far").record["data"]["ner"]["sources"]
    ]
    assert [one["name"] for one in sources] == ["a", "b"]
    prefinetune(recipe_of(encoder, "memory://data"), tmp_path / "again")
    assert len(fetched) == 4  # nothing changed, and nothing came again


def test_labelled_sets(memory: Any, tiny_encoder_folder: Any, tmp_path: Path) -> None:
    families = {
        family: {"batch_size": 4, "labelled": [{"path": f"memory://data/{family}/app"}]}
        for family in ("ner", "tc")
    }
    recipe = recipe_of(tiny_encoder_folder(), "memory://data", strategy="muppet", families=families)
    assert prefinetune(recipe, tmp_path / "b").record["data"]["tc"]["sources"][0]["classes"] == 2


def test_a_changed_file_comes_again_and_a_removed_one_goes(
    memory: Any, corpora: Path, fetched: list[str]
) -> None:
    folder = local_copy("memory://data/tc/app")
    assert sorted(file.name for file in folder.iterdir()) == [
        "test.parquet", "train.parquet", "validation.parquet",
    ]  # fmt: skip
    assert folder.name == "app"
    file = local_copy("memory://data/pre_ner/a/train.parquet")
    assert file.parts[-2:] == ("a", "train.parquet")
    assert file.read_bytes() == (corpora / "pre_ner/a/train.parquet").read_bytes()
    fetched.clear()
    memory.put(str(corpora / "pre_ner/b/train.parquet"), "/data/tc/app/train.parquet")
    memory.rm("/data/tc/app/test.parquet")
    assert local_copy("memory://data/tc/app/") == folder
    assert fetched == ["/data/tc/app/train.parquet"]
    want = (corpora / "pre_ner/b/train.parquet").read_bytes()
    assert (folder / "train.parquet").read_bytes() == want
    assert not (folder / "test.parquet").exists()


def test_a_fetch_that_broke_off_goes_on(
    memory: Any, monkeypatch: pytest.MonkeyPatch, fetched: list[str]
) -> None:
    fetch, address = remote._fetch, "memory://data/tc/app"

    def breaks(store: Any, path: str, *rest: Any) -> None:
        if "train" in path:
            raise ConnectionError("reset by peer")
        fetch(store, path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(remote, "_fetch", breaks)
        with pytest.raises(UserError, match=f"^{address} cannot be read: reset by peer"):
            local_copy(address)
    assert len(fetched) == 1  # test.parquet
    folder = local_copy(address)
    assert sorted(path.rpartition("/")[2] for path in fetched[1:]) == [
        "train.parquet", "validation.parquet",
    ]  # fmt: skip
    assert not [*folder.parent.rglob("*.partial")]


def test_a_short_answer_is_no_file(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    info = type(memory).info
    monkeypatch.setattr(
        type(memory), "info", lambda self, path, **rest: {**info(self, path, **rest), "size": 7**9}
    )
    with pytest.raises(UserError, match=r"of 40,353,607 bytes of .*train\.parquet came"):
        local_copy("memory://data/pre_ner/a/train.parquet")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://data/pre_nre/a", r"memory://data/pre_nre/a holds no file of rows"),
        ("s33://data/a", r"unknown protocol 's33'; did you mean 's3"),
        ("memory://data/tc/app/train.txt", "holds no file of rows"),
        ("ftp://ann:secret@host/a", "^an address of the recipe holds a password, which"),
    ],
)
def test_what_is_refused(memory: Any, address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        local_copy(address)


def test_a_protocol_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(address: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UserError, match=r"^s3://b/a cannot be read: Install s3fs"):
        local_copy("s3://b/a")


def test_no_file_leaves_the_cache(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find = type(memory).find

    def with_another(self: Any, path: str, **rest: Any) -> dict[str, Any]:
        found = find(self, path, **rest)
        return {**found, f"{path}/../../../out.csv": next(iter(found.values()))}

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "find", with_another)
        folder = local_copy("memory://data/tc/app")
    assert len([*folder.iterdir()]) == 3
    assert not [*folder.parents[2].rglob("out.csv")]


def test_faulty_rows_are_named_by_their_address(
    memory: Any, tiny_encoder_folder: Any, tmp_path: Path
) -> None:
    memory.pipe("/data/pre_ner/a/train.parquet", b"not a table")
    with pytest.raises(UserError, match=r"memory://data/pre_ner/a/train\.parquet") as refused:
        prefinetune(recipe_of(tiny_encoder_folder(), "memory://data"), tmp_path / "b")
    assert str(tmp_path) not in str(refused.value)


def test_a_recipe_file_keeps_addresses(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "encoder: e\nfamilies: {ner: {sources: [{path: 's3://bucket/a'}, {path: here}]}}"
    )
    sources = load_recipe(tmp_path / "r.yaml").families["ner"]["sources"]
    assert [one["path"] for one in sources] == ["s3://bucket/a", str(tmp_path / "here")]


def test_over_http(
    corpora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: Any
) -> None:
    pytest.importorskip("aiohttp", reason="needs aiohttp, by which fsspec reads http://")
    from starlette.applications import Starlette
    from starlette.staticfiles import StaticFiles

    monkeypatch.setenv("ONETRUNK_CACHE", str(tmp_path / "cache"))
    shutil.copytree(corpora / "pre_ner", tmp_path / "served/pre_ner")
    app = Starlette()
    app.mount("/", StaticFiles(directory=tmp_path / "served"))
    with answering(app) as url:
        file = local_copy(f"{url}/pre_ner/a/train.parquet?download=true")
        assert file.name == "train.parquet"
        assert file.read_bytes() == (corpora / "pre_ner/a/train.parquet").read_bytes()
        with pytest.raises(UserError, match=r"pre_ner/c/train\.parquet"):
            local_copy(f"{url}/pre_ner/c/train.parquet")
