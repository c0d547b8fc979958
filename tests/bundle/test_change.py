"""Changes of a bundle's folder: what others put into it stays, and names fit every file system."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from onetrunk.bundle.change import forget_examples, put_app, put_apps, remove_apps
from onetrunk.bundle.layout import Bundle, check_names, entry, write_manifest
from onetrunk.bundle.runtime import Runtime
from onetrunk.cards import CARD
from onetrunk.errors import UserError
from onetrunk.serving.api import create_app
from onetrunk.serving.changes import Apps

FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"
ROWS = [("well done", "glad"), ("late again", "cross"), ("thank you", "glad"), ("no", "cross")]
Killed = Callable[[Callable[[], object]], Iterator[int]]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with five apps, free to change."""
    shutil.copytree(FORMAT_0_1 / "bundle", tmp_path / "bundle")
    return tmp_path / "bundle"


def file_of(bundle: Path, name: str = "intent") -> bytes:
    return (bundle / "apps" / f"{name}.safetensors").read_bytes()


def add_strangers(bundle: Path) -> None:
    """What a user may have in a folder of theirs."""
    for name in (".git/objects/ab", "photos/empty", "apps/old"):
        (bundle / name).mkdir(parents=True)
    (bundle / "notes.txt").write_text("mine")
    (bundle / ".git/HEAD").write_text("ref")
    (bundle / ".git/objects/ab/cd").write_text("x")
    (bundle / "apps/intent.bak").write_text("old")
    (bundle / "apps/old/more").write_text("old")
    (bundle / ".git/HEAD").chmod(0o600)
    (bundle / "run.sh").write_text("#!/bin/sh")
    (bundle / "run.sh").chmod(0o750)
    outside = bundle.parent / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not of the bundle")
    (bundle / "shared").symlink_to("../outside")
    (bundle / "lost").symlink_to("nowhere")
    os.mkfifo(bundle / "pipe")
    (bundle / "photos").chmod(0o700)
    for name in ("photos/empty", "photos", ".git/HEAD", "notes.txt"):
        os.utime(bundle / name, (10**9, 10**9))


def strangers(bundle: Path) -> dict[str, tuple[object, ...]]:
    """Mode, time and content of everything that the manifest does not list."""
    found: dict[str, tuple[object, ...]] = {}
    ours = {"bundle.json", CARD, *Bundle(bundle).files, "apps", "primary", "examples"}
    for path in bundle.rglob("*"):
        name, about = path.relative_to(bundle).as_posix(), path.lstat()
        if name in ours:
            continue
        content = path.read_text() if path.is_file() else ""
        place = os.readlink(path) if path.is_symlink() else ""
        mtime = 0 if path.is_dir() and ".git" in name else about.st_mtime
        found[name] = (about.st_mode, mtime, content, place)
    return found


needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")


def _teach(bundle: Path) -> None:
    runtime = Runtime(bundle, threads=1)
    runtime.teach("mood", "tc", ROWS, keep_examples=True)
    runtime.save()


def _forget(bundle: Path) -> None:
    _teach(bundle)
    assert (bundle / "examples").is_dir()
    forget_examples(bundle, "mood")
    assert not (bundle / "examples").exists()  # no empty folder stays


def _over_http(bundle: Path) -> None:
    app = create_app(Runtime(bundle, threads=1), bundle=bundle, token="t" * 30)
    with TestClient(app, headers={"authorization": "Bearer " + "t" * 30}) as client:
        assert client.put("/v1/apps/more", content=file_of(bundle)).status_code == 201
        assert client.delete("/v1/apps/more").status_code == 204
        body = {"family": "tc", "examples": ROWS, "keep": True}
        assert client.post("/v1/apps/mood/teach", json=body).status_code == 200


CHANGES: dict[str, Callable[[Path], object]] = {
    "put": lambda bundle: put_app(bundle, "more", file_of(bundle)),
    "remove": lambda bundle: remove_apps(bundle, ["stars"]),
    "remove all": lambda bundle: remove_apps(bundle, Bundle(bundle).apps),
    "teach": _teach,
    "forget": _forget,
    "http": _over_http,
}


@needs_posix
@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_what_others_put_into_the_folder_stays(
    bundle: Path, change: str, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_strangers(bundle)
    bundle.chmod(0o750)
    if not links:

        def no_links(*_: object, **__: object) -> None:
            raise PermissionError(1, "no hard links")

        (bundle / "pipe").unlink()  # a pipe has no copy
        monkeypatch.setattr(os, "link", no_links)
    before = strangers(bundle)
    assert len(before) > 12
    CHANGES[change](bundle)
    assert strangers(bundle) == before
    assert bundle.stat().st_mode & 0o777 == 0o750
    assert (bundle.parent / "outside/secret").read_text() == "not of the bundle"
    assert {path.name for path in bundle.parent.iterdir()} == {"bundle", "outside"}
    Runtime(bundle, threads=1).predict("ann met mum")


def test_a_card_of_the_users_own_stays_and_ours_is_written_anew(bundle: Path) -> None:
    card = bundle / CARD
    remove_apps(bundle, ["stars"])
    assert "| intent | tc |" in card.read_text()
    moved = bundle.rename(bundle.with_name("moved"))
    remove_apps(moved, ["intent"])
    card = moved / CARD
    assert "intent" not in card.read_text()
    assert "# moved" in card.read_text()
    card.write_text("my card")
    put_app(moved, "intent", (FORMAT_0_1 / "bundle/apps/intent.safetensors").read_bytes())
    remove_apps(moved, ["flags"])
    assert card.read_text() == "my card"
    card.unlink()
    remove_apps(moved, ["place"])
    assert "# moved" in card.read_text()


@pytest.mark.parametrize("there", ["apps/more.safetensors", "apps/more.safetensors/folder/file"])
def test_what_is_in_the_way_of_a_new_file_is_not_replaced(bundle: Path, there: str) -> None:
    (bundle / there).parent.mkdir(exist_ok=True, parents=True)
    (bundle / there).write_text("mine")
    manifest = (bundle / "bundle.json").read_bytes()
    with pytest.raises(UserError, match=r"more.safetensors is in the way .* move it away"):
        put_app(bundle, "more", file_of(bundle))
    assert (bundle / there).read_text() == "mine"
    assert (bundle / "bundle.json").read_bytes() == manifest
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


@needs_posix
def test_a_folder_of_ours_that_is_a_link_becomes_a_folder(bundle: Path) -> None:
    elsewhere = bundle.parent / "elsewhere"
    (bundle / "apps").rename(elsewhere)
    (bundle / "apps").symlink_to("../elsewhere")
    remove_apps(bundle, ["stars"])
    assert not (bundle / "apps").is_symlink()
    assert (elsewhere / "stars.safetensors").exists()
    assert Runtime(bundle).names == ["calendar", "place", "intent", "flags"]


@needs_posix
def test_killed_at_any_step_it_has_what_others_put_there(
    bundle: Path, killed_before_each_step: Killed
) -> None:
    add_strangers(bundle)
    before, content, seen = strangers(bundle), file_of(bundle), []
    for _ in killed_before_each_step(lambda: put_app(bundle, "more", content)):
        assert strangers(bundle) == before
        seen.append("more" in Bundle(bundle).apps)
        if seen[-1]:
            remove_apps(bundle, ["more"])
            assert strangers(bundle) == before
    assert len(seen) > 30
    assert (seen[0], seen[-1]) == (False, True)


WRONG = {
    "INTENT": "beside 'intent'",
    "ıntent": None,  # another letter
    "new ": "Windows drops",
    "new.": "Windows drops",
    "NUL": "Windows has a device",
    "con.model": "Windows has a device",
    "com1": "Windows has a device",
    "company": None,
    " new": "letters, digits",
    "new\n": "letters, digits",
    "ne\x07w": "letters, digits",
    "../new": "letters, digits",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_name_fits_every_file_system_wherever_an_app_is_added(bundle: Path, name: str) -> None:
    content, manifest = file_of(bundle), (bundle / "bundle.json").read_bytes()
    runtime = Runtime(bundle, threads=1)
    app = replace(runtime.app("intent"), name=name)
    some = Runtime(bundle, ["stars"], threads=1)
    served = Apps(Runtime(bundle, threads=1), bundle)
    adds: list[Callable[[], object]] = [
        lambda: put_app(bundle, name, content),
        lambda: put_apps(Bundle(bundle), [app]),
        lambda: runtime.with_apps({name: app}),
        lambda: runtime.teach(name, "tc", ROWS),
        lambda: served.put(name, content),
        lambda: served.teach(name, "tc", ROWS, (), True),
        lambda: check_names(["intent", name]),
        lambda: (some.teach(name, "tc", ROWS), some.save()),  # it does not know all apps
    ]
    for add in adds[:1] if WRONG[name] is None else adds:
        if WRONG[name] is None:
            add()
            assert name in Bundle(bundle).apps
        else:
            with pytest.raises(UserError, match=f"an app cannot be called .*{WRONG[name]}"):
                add()
            assert (bundle / "bundle.json").read_bytes() == manifest


def test_two_forms_of_one_letter_are_one_name(bundle: Path) -> None:
    one, other = "\N{ANGSTROM SIGN}", "\N{LATIN SMALL LETTER A WITH RING ABOVE}"
    put_app(bundle, one, file_of(bundle))
    with pytest.raises(UserError, match=f"called {other!r} beside {one!r}"):
        put_app(bundle, other, file_of(bundle))
    app = Bundle(bundle).app("intent")
    with pytest.raises(UserError, match="called 'New' beside 'new'"):
        put_apps(Bundle(bundle), [replace(app, name="new"), replace(app, name="New")])


def test_a_bundle_with_names_of_before_is_read_and_changed(bundle: Path) -> None:
    content, old = file_of(bundle), ["x ", "INTENT", "NUL"]
    manifest = Bundle(bundle).manifest
    for name in old:
        (bundle / "apps" / f"{name}.safetensors").write_bytes(content)
        manifest["files"][f"apps/{name}.safetensors"] = entry(content)
    write_manifest(bundle, manifest)
    runtime = Runtime(bundle, threads=1)
    answers = runtime.predict("ann met mum")["apps"]
    assert all(answers[name] == answers["intent"] for name in old)
    for name in old:
        runtime.teach(name, "tc", ROWS, keep_examples=True)
        runtime.correct(name, ("good", "glad"))
    runtime.save()
    put_app(bundle, "x ", content)
    remove_apps(bundle, old)
    assert not {*old} & {*Bundle(bundle).apps}
