"""Apps that come, go and are replaced: whole or not at all, on disk and in what answers."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onetrunk.bundle.app import BundledApp, to_bytes
from onetrunk.bundle.change import put_app
from onetrunk.bundle.layout import Bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.interface import FEWEST_JUDGED
from onetrunk.serving.changes import Apps

INTENT = Path(__file__).parents[1] / "fixtures/format-0.1/bundle/apps/intent.safetensors"
KEPT = {"kept": True, "score": None}
TEXT = "ann met mum in new york"
Serve = Callable[..., TestClient]


def file_of(bundle: Path, name: str = "intent") -> bytes:
    return (bundle / "apps" / f"{name}.safetensors").read_bytes()


def other_intent(bundle: Path, **changes: Any) -> bytes:
    """The file of ``intent`` with the other answers, or with something else changed."""
    app = Bundle(bundle).app("intent")
    changes = changes or {"labels": app.labels[::-1]}
    return replace(app, **changes).to_bytes(np.float32)


def answers(client: TestClient) -> Any:
    return client.post("/v1/predict", json={"texts": [TEXT, ""]}).json()["results"]


def test_an_app_is_added_replaced_and_removed(changeable: TestClient, bundle: Path) -> None:
    before = answers(changeable)
    added = changeable.put("/v1/apps/new one", content=file_of(bundle))
    assert (added.status_code, added.json()) == (201, {**KEPT, "name": "new one"})
    after = answers(changeable)
    assert after[0]["apps"]["new one"] == after[0]["apps"]["intent"]
    replaced = changeable.put("/v1/apps/new one", content=other_intent(bundle))
    assert replaced.status_code == 200
    found = answers(changeable)
    assert found[0]["apps"]["new one"]["labels"] != found[0]["apps"]["intent"]["labels"]
    assert found == Runtime(bundle).predict([TEXT, ""])  # as after a restart
    assert changeable.delete("/v1/apps/new one").status_code == 204
    assert answers(changeable) == before == Runtime(bundle).predict([TEXT, ""])
    assert changeable.delete("/v1/apps/new one").status_code == 404


def test_answers_go_on_while_apps_change(bundle: Path) -> None:
    apps = Apps(Runtime(bundle, threads=1), bundle)
    first = apps.model
    want = first.predict(TEXT)
    apps.remove("stars")
    apps.put("more", file_of(bundle))
    assert first.predict(TEXT) == want  # who holds the old one sees the old apps
    assert apps.model.names == ["calendar", "place", "intent", "flags", "more"]


def test_a_link_to_a_bundle_stays_one(bundle: Path) -> None:
    link = bundle.parent / "current"
    link.symlink_to("bundle")
    Apps(Runtime(link, threads=1), link).put("more", file_of(bundle))
    assert link.is_symlink()
    assert "more" in Bundle(bundle).apps
    assert {path.name for path in bundle.parent.iterdir()} == {"bundle", "current"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
@pytest.mark.parametrize(
    ("token", "header", "status"),
    [
        (None, None, 403),
        (None, "Bearer anything at all", 403),
        ("a token that nobody guesses", None, 401),
        ("a token that nobody guesses", "Bearer a token that nobody guesse", 401),
        ("a token that nobody guesses", "Bearer a token that nobody guessesx", 401),
        ("a token that nobody guesses", "Basic a token that nobody guesses", 401),
        ("a token that nobody guesses", "Bearer ", 401),
        ("a token that nobody guesses", "Bearer \xfcber", 401),
    ],
)
def test_changes_need_the_token(
    serve: Serve, bundle: Path, method: str, token: str | None, header: str | None, status: int
) -> None:
    client = serve(Runtime(bundle, threads=1), bundle=bundle, token=token)
    before = (bundle / "bundle.json").read_bytes()
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    if method == "POST":
        body = {"family": "tc", "examples": [["a", "b"]]}
        answer = client.post("/v1/apps/intent/teach", json=body, headers=headers)
    else:
        answer = client.request(method, "/v1/apps/intent", content=b"x", headers=headers)
    assert answer.status_code == status
    assert ("--token-file" in answer.json()["error"]) == (status == 403)
    sent = header is not None and header.startswith("Bearer ") and header != "Bearer "
    if status == 401 and sent:
        assert answer.json()["error"] == "the token that was sent is not that of this service"
    elif status == 401:
        assert "Authorization: Bearer TOKEN" in answer.json()["error"]
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    assert (bundle / "bundle.json").read_bytes() == before
    assert len(answers(client)[0]["apps"]) == 5


PICKLE = b"cos\nsystem\n(S'touch it-was-here'\ntR."
HEAD = Path(__file__).parents[1] / "fixtures/format-0.1/apps/intent/head.safetensors"
NAN = np.full((2, 32), np.nan, np.float32)


def rating(app: BundledApp) -> BundledApp:
    """Its labels are no numbers, so no scale."""
    return replace(app, decoder="rating", weight=app.weight[:1], bias=app.bias[:1])


def lora(width: int, rank: int, value: float = 1.0) -> dict[str, Any]:
    a = np.full((width, rank), value, np.float32)
    return {"layer_2.query.a": a, "layer_2.query.b": np.full((rank, 32), value, np.float32)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda app: PICKLE, "app {}: this is no apps/NAME.safetensors of a bundle"),
        (lambda app: b"", "this is no apps/NAME.safetensors"),
        (lambda app: app.to_bytes(np.float32)[:-1], "is damaged"),
        (lambda app: b"\xff" * 8 + b"{}", "this is no apps/NAME.safetensors"),
        (lambda app: (60_000).to_bytes(8, "little") + b"[" * 60_000, "this is no apps/NAME."),
        (lambda app: to_bytes({"head.weight": NAN}, np.float32), "this is no apps/NAME."),
        (lambda app: to_bytes({"head.weight": NAN}, np.float32, {"onetrunk": "[" * 9**5}), "is"),
        (lambda app: HEAD.read_bytes(), "this is no apps/NAME.safetensors of a bundle"),
        (lambda app: replace(app, weight=NAN), "not finite"),
        (lambda app: replace(app, fingerprint="0" * 64), "trained on another backbone"),
        (lambda app: replace(app, labels=["call"]), "is damaged"),
        (lambda app: replace(app, labels=["call", "call"]), "no list of different strings"),
        (lambda app: replace(app, labels=[1, 2]), "no list of different strings"),
        (lambda app: replace(app, labels="ab"), "no list of different strings"),
        (lambda app: replace(app, max_length=0), "windows of 0 tokens"),
        (lambda app: replace(app, max_length=-(10**30)), "windows of -1"),
        (lambda app: replace(app, max_length="many"), "is damaged"),
        (lambda app: replace(app, head_layers=7), "reads 7 states"),
        (lambda app: replace(app, decoder="exec"), "unknown decoder"),
        (lambda app: replace(app, none_below=7), "none_below is 7"),
        (lambda app: replace(app, family_of_primary="../ner"), "needs the primary LoRA"),
        (lambda app: replace(app, family={"a": 1}), "its family is no string"),
        (rating, "cannot answer"),
        (lambda app: replace(app, lora=lora(32, 9999)), "a rank of 32 at most"),
        (lambda app: replace(app, lora=lora(8, 2)), "takes a width of 32"),
        (lambda app: replace(app, lora=lora(32, 2, 1e38)), "cannot answer"),
    ],
)  # fmt: skip
def test_what_is_no_good_app_changes_nothing(
    changeable: TestClient, bundle: Path, change: Any, why: str
) -> None:
    before = answers(changeable), (bundle / "bundle.json").read_bytes()
    made = change(replace(Bundle(bundle).app("intent"), neighbours=None))
    content = made if isinstance(made, bytes) else made.to_bytes(np.float32)
    for name in ("intent", "new"):
        answer = changeable.put(f"/v1/apps/{name}", content=content)
        assert answer.status_code == 422, answer.text
        assert why.format(name) in answer.json()["error"]
        assert "\n" not in answer.json()["error"]
    assert (answers(changeable), (bundle / "bundle.json").read_bytes()) == before
    assert Runtime(bundle).names == ["calendar", "place", "intent", "flags", "stars"]
    assert not Path("it-was-here").exists()


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_flipped_bytes_make_a_fault_of_ours(
    changeable: TestClient, bundle: Path, data: st.DataObject
) -> None:
    """Any damage is either refused, or makes an app that answers."""
    content = bytearray(
        (
            Path(__file__).parents[1] / "fixtures/format-0.1/bundle/apps/intent.safetensors"
        ).read_bytes()
    )
    header = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, header - 1) | st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    answer = changeable.put("/v1/apps/intent", content=bytes(content))
    assert answer.status_code in (200, 422), answer.text
    assert answers(changeable)[0]["apps"].keys() == {*Bundle(bundle).apps}


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", "..%2f..%2fx", "a%2fb", "%2fetc%2fpasswd", "a%00b", "none", ".hidden", "a%0ab",
     "%ff", "x" * 101, "%e6%97%a5" * 90, "a:b", "~", "a%5cb", " "],
)  # fmt: skip
def test_names_do_not_leave_the_folder(changeable: TestClient, bundle: Path, name: str) -> None:
    before = sorted(bundle.parent.rglob("*"))
    answer = changeable.put(f"/v1/apps/{name}", content=file_of(bundle))
    assert answer.status_code in (404, 405, 422), answer.text
    assert changeable.delete(f"/v1/apps/{name}").status_code in (404, 405, 422)
    assert sorted(bundle.parent.rglob("*")) == before


def test_a_file_that_is_too_large_is_not_read_whole(serve: Serve, bundle: Path) -> None:
    token = "a token that nobody guesses"
    limits = {"app_bytes": 1000}
    client = serve(Runtime(bundle, threads=1), limits, bundle=bundle, token=token)
    headers = {"authorization": f"Bearer {token}"}
    answer = client.put("/v1/apps/new", content=file_of(bundle), headers=headers)
    assert answer.status_code == 413
    assert "more than 1,000 bytes" in answer.json()["error"]


def test_a_disk_that_is_full_changes_nothing(
    changeable: TestClient, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("onetrunk.bundle.change.write_manifest", full)
    for answer in (
        changeable.put("/v1/apps/new", content=file_of(bundle)),
        changeable.delete("/v1/apps/intent"),
    ):
        assert answer.status_code == 409
        assert "No space left on device" in answer.json()["error"]
    assert len(answers(changeable)[0]["apps"]) == 5
    assert Runtime(bundle).names == ["calendar", "place", "intent", "flags", "stars"]


def test_changes_at_the_same_time_are_all_made(changeable: TestClient, bundle: Path) -> None:
    content = file_of(bundle)
    threads = [
        threading.Thread(
            target=changeable.put, args=(f"/v1/apps/app-{number}",), kwargs={"content": content}
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {f"app-{number}" for number in range(8)}
    assert names < {*Bundle(bundle).apps}
    assert names < {*answers(changeable)[0]["apps"]}


@pytest.mark.skipif(sys.platform != "linux", reason="folders are exchanged in one step on Linux")
def test_a_kill_leaves_the_old_app_or_the_new_one(bundle: Path, tmp_path: Path) -> None:
    files = [tmp_path / "old", tmp_path / "new"]
    files[0].write_bytes(file_of(bundle))
    files[1].write_bytes(other_intent(bundle))
    contents = [file.read_bytes() for file in files]
    rng = random.Random(0)
    fork = multiprocessing.get_context("fork")

    def put_for_ever(begins: Any) -> None:
        begins.send(True)
        while True:
            for content in contents:
                put_app(bundle, "intent", content)

    for _ in range(8):
        here, there = fork.Pipe(duplex=False)
        process = fork.Process(target=put_for_ever, args=(there,))
        process.start()
        assert here.recv()
        time.sleep(rng.uniform(0.005, 0.08))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        whole = Bundle(bundle)
        assert whole.read("apps/intent.safetensors") in contents
        for name in whole.apps:
            whole.app(name)
    runtime = Runtime(bundle)
    assert runtime.predict(TEXT)["apps"].keys() == {*Bundle(bundle).apps}
    (bundle.parent / f".{bundle.name}.half.partial").mkdir()
    Apps(runtime, bundle)
    assert not list(bundle.parent.glob(".*"))


def test_put_app_refuses_what_does_not_fit(bundle: Path) -> None:
    with pytest.raises(UserError, match="cannot be called"):
        put_app(bundle, "../x", file_of(bundle))
    with pytest.raises(UserError, match="another backbone"):
        put_app(bundle, "x", other_intent(bundle, fingerprint="1" * 64))


def lesson(**changes: Any) -> dict[str, Any]:
    examples = [[f"{word} number {i}", word] for i in range(6) for word in ("call", "stop")]
    return {"family": "tc", "examples": examples, "labels": ["yes"], **changes}


@pytest.mark.parametrize("keep", [True, False])
def test_an_app_is_taught(changeable: TestClient, bundle: Path, keep: bool) -> None:
    answer = changeable.post("/v1/apps/taught/teach", json=lesson(keep=keep))
    assert answer.status_code == 200
    found = answer.json()
    assert (found["name"], found["kept"]) == ("taught", keep)
    alone = Runtime(bundle, threads=1)
    rows = [*map(tuple, lesson()["examples"])]
    wanted = alone.teach("taught", "tc", rows, lesson()["labels"])
    same = {key: found["score"][key] for key in ("metric", "value", "rows", "judged", "penalty")}
    assert same == {key: getattr(wanted, key) for key in same}
    answered = changeable.post("/v1/predict", json={"texts": [TEXT], "apps": ["taught"]}).json()
    assert answered["results"] == alone.predict([TEXT], ["taught"])
    assert {*answered["results"][0]["apps"]["taught"]["probabilities"]} == {"call", "stop", "yes"}
    assert ("taught" in Bundle(bundle).apps) == keep
    if keep:
        assert answered["results"] == Runtime(bundle).predict([TEXT], ["taught"])


def test_what_is_odd_about_a_lesson_is_answered(
    changeable: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert changeable.post("/v1/apps/taught/teach", json=lesson()).json()["notes"] == []
    rows = [["call me", "cal"], ["call now", "call"], ["call now", "call"]]
    body = lesson(examples=rows, labels=[], start="taught")
    notes = changeable.post("/v1/apps/taught/teach", json=body).json()["notes"]
    assert "new label: cal; did you mean call?" in " ".join(notes).replace("'", "")
    assert any("duplicate rows" in note for note in notes)


@pytest.mark.parametrize("rows", [2, 3])
def test_too_few_examples_have_no_score(changeable: TestClient, rows: int) -> None:
    body = lesson(examples=lesson()["examples"][:rows])
    score = changeable.post("/v1/apps/taught/teach", json=body).json()["score"]
    assert (score["judged"] < FEWEST_JUDGED) == (score["value"] is None) == (rows == 2)


def test_an_app_goes_on_from_another(changeable: TestClient, bundle: Path) -> None:
    rows = [{"text": "ann met bob", "spans": [[0, 3, "who"]]}]
    body = {"family": "ner", "examples": rows, "start": "calendar", "stay": ["call dora"]}
    assert changeable.post("/v1/apps/better/teach", json=body).status_code == 200
    alone = Runtime(bundle, threads=1)
    alone.teach("better", "ner", rows, start="calendar", stay=["call dora"])
    found = changeable.post("/v1/predict", json={"texts": [TEXT], "apps": ["better"]}).json()
    assert found["results"] == alone.predict([TEXT], ["better"])
    wrong = changeable.post("/v1/apps/x/teach", json={**body, "start": "calendra"})
    assert (wrong.status_code, "did you mean 'calendar'" in wrong.text) == (422, True)


@pytest.mark.parametrize("keep", [True, False])
def test_teaching_replaces_an_app_only_if_asked_to(
    changeable: TestClient, bundle: Path, keep: bool
) -> None:
    before = answers(changeable), (bundle / "bundle.json").read_bytes()
    for more in ({}, {"start": "flags"}):
        refused = changeable.post("/v1/apps/intent/teach", json=lesson(keep=keep, **more))
        assert refused.status_code == 409
        assert refused.json()["error"] == (
            'there is an app \'intent\': go on from it by "start": "intent", or replace it by '
            '"overwrite": true, or choose another name'
        )
    assert (answers(changeable), (bundle / "bundle.json").read_bytes()) == before
    rows = [{"text": "ann met bob", "spans": [[0, 3, "who"]]}]
    for name, body in (
        ("calendar", lesson(family="ner", examples=rows, labels=[], start="calendar")),
        ("intent", lesson(overwrite=True)),
    ):
        body = {**body, "keep": keep}
        assert changeable.post(f"/v1/apps/{name}/teach", json=body).status_code == 200
    assert "yes" in answers(changeable)[0]["apps"]["intent"]["probabilities"]
    assert ("yes" in Bundle(bundle).app("intent").labels) == keep


WRONG = [
    ("intent", lesson(examples=examples))
    for examples in ("/etc/passwd", ["/etc/passwd"], [["/etc/passwd"]], [None], [[1, "a"]], {})
]


def test_a_lesson_that_fails_changes_nothing(changeable: TestClient, bundle: Path) -> None:
    wrong = changeable.post("/v1/apps/intent/teach", json=lesson(family="nre", overwrite=True))
    assert wrong.status_code == 422
    assert "'nre'; did you mean 'ner'" in wrong.json()["error"]
    for name, body in (
        ("intent", lesson(kept=1)), ("a%0ab", lesson()), ("intent", {}),
        ("intent", lesson(examples=[["a", "b"]], labels=[])), *WRONG,
    ):  # fmt: skip
        asked = {**body, "overwrite": True}
        assert changeable.post(f"/v1/apps/{name}/teach", json=asked).status_code == 422
    assert answers(changeable) == Runtime(bundle).predict([TEXT, ""])


def test_a_bundle_without_its_folder_is_not_made_anew(changeable: TestClient, bundle: Path) -> None:
    content = file_of(bundle)
    shutil.rmtree(bundle)
    answer = changeable.put("/v1/apps/new", content=content)
    assert answer.status_code == 422
    assert "no such folder" in answer.json()["error"]
    assert len(answers(changeable)[0]["apps"]) == 5
