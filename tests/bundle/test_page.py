"""The folder of a page: what is in it, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from onetrunk.apps.app import App
from onetrunk.bundle import page
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.layout import Bundle, entry, write_manifest
from onetrunk.bundle.page import CACHE, ORT, ORT_VARIABLE, find_ort, write_page
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture
def bundle(tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path) -> Path:
    export_bundle(tiny_backbone, {name: apps[name] for name in ("spam", "place")}, tmp_path / "b")
    return tmp_path / "b"


@pytest.fixture
def ort(tmp_path: Path) -> Path:
    """A folder with files of the names of onnxruntime-web's."""
    folder = tmp_path / "ort"
    folder.mkdir()
    for name in ORT:
        (folder / name).write_text(name)
    return folder


def cached(folder: Path) -> dict[str, object]:
    content = (folder / CACHE).read_text()
    found: dict[str, object] = json.loads(content.removeprefix("self.ONETRUNK = ")[:-2])
    return found


def test_a_page_holds_its_bundle_and_all_that_runs_it(
    bundle: Path, ort: Path, tmp_path: Path
) -> None:
    write_page(bundle, tmp_path / "page", ort)
    files = {
        path.relative_to(tmp_path / "page").as_posix()
        for path in (tmp_path / "page").rglob("*")
        if path.is_file()
    }
    assert {f"runtime/{file.name}" for file in (WEB / "src").iterdir()} <= files
    assert {file.name for file in (WEB / "playground").iterdir()} <= files
    assert {*(f"ort/{name}" for name in ORT), "ort/LICENSE.txt"} <= files
    assert Bundle(tmp_path / "page" / "bundle").apps == ["spam", "place"]
    # Offline there is all but what the browser asks for by itself.
    assert cached(tmp_path / "page")["files"] == ["./", *sorted(files - {CACHE})]


def test_every_module_and_style_that_a_page_asks_for_is_there(
    bundle: Path, ort: Path, tmp_path: Path
) -> None:
    """And nothing is asked for from elsewhere."""
    write_page(bundle, tmp_path / "page", ort)
    for file in [*(tmp_path / "page").glob("*"), *(tmp_path / "page" / "runtime").glob("*.js")]:
        if file.suffix not in (".js", ".html", ".css"):
            continue
        text = file.read_text()
        for line in text.splitlines():
            if line.startswith(("import ", "export ", "} from")) and ' from "' in line:
                name = line.split(' from "')[1].split('"')[0]
                assert name.startswith("./"), line
                assert (file.parent / name).is_file(), line
        assert "https://" not in text.replace("https://…", "")
        assert text.replace("http://www.w3.org/2000/svg", "").count("http://") == 0
        assert "innerHTML" not in text


def test_examples_stay_out_of_a_page(bundle: Path, ort: Path, tmp_path: Path) -> None:
    lines = b'{"text": "call 0123", "label": "a"}\n'
    (bundle / "examples").mkdir()
    (bundle / "examples" / "spam.jsonl").write_bytes(lines)
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["files"]["examples/spam.jsonl"] = entry(lines)
    write_manifest(bundle, manifest)
    write_page(bundle, tmp_path / "page", ort)
    assert not (tmp_path / "page" / "bundle" / "examples").exists()
    assert Bundle(tmp_path / "page" / "bundle").files.keys() == Bundle(bundle).files.keys() - {
        "examples/spam.jsonl"
    }


def test_the_version_follows_from_what_is_in_the_files(
    bundle: Path, ort: Path, tmp_path: Path
) -> None:
    write_page(bundle, tmp_path / "one", ort)
    write_page(bundle, tmp_path / "same", ort)
    (ort / ORT[1]).write_text("newer")
    write_page(bundle, tmp_path / "other", ort)
    versions = [cached(tmp_path / name)["version"] for name in ("one", "same", "other")]
    assert versions[0] == versions[1] != versions[2]


def test_what_is_not_a_page_is_not_replaced(bundle: Path, ort: Path, tmp_path: Path) -> None:
    write_page(bundle, tmp_path / "page", ort)
    with pytest.raises(UserError, match="already exists"):
        write_page(bundle, tmp_path / "page", ort)
    write_page(bundle, tmp_path / "page", ort, overwrite=True)
    with pytest.raises(UserError, match="is a bundle, which is not replaced"):
        write_page(bundle, bundle, ort, overwrite=True)
    (bundle / "trunk.onnx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"trunk.onnx is not the file that was exported"):
        write_page(bundle, tmp_path / "late", ort)
    assert not (tmp_path / "late").exists()


def test_onnxruntime_web_is_named_or_found(
    ort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ORT_VARIABLE, raising=False)
    monkeypatch.setattr(page, "_HERE", tmp_path / "wheel")
    monkeypatch.setattr(page, "_CLONE", tmp_path / "clone")
    lacks = "this installation does not hold onnxruntime-web's files"
    with pytest.raises(
        UserError, match=f"^run `npm install onnxruntime-web`, and name .*; {lacks}"
    ):
        find_ort()
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "package.json").touch()
    with pytest.raises(UserError, match=f"^run `npm install --prefix {tmp_path}/clone`; {lacks}"):
        find_ort()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^run `npm install --prefix clone`; {lacks}"):
        find_ort()
    assert find_ort(ort) == ort
    monkeypatch.setenv(ORT_VARIABLE, str(ort))
    assert find_ort() == ort
    (tmp_path / "wheel").mkdir()
    shutil.copytree(ort, tmp_path / "wheel" / "ort")
    assert find_ort() == ort
    monkeypatch.delenv(ORT_VARIABLE)
    assert find_ort() == tmp_path / "wheel" / "ort"
    (ort / ORT[0]).unlink()
    with pytest.raises(
        UserError, match=rf"^name the folder .* by {ORT_VARIABLE} .*; {ort} does not"
    ):
        find_ort(ort)
