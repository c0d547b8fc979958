"""The playground in headless Chromium, on a page that ``write_page`` wrote.

Needs the package playwright, a Chromium on the path, and ``npm install`` in ``web/``. With
``PLAYGROUND_SHOTS=FOLDER`` it saves pictures of what it sees.
"""

from __future__ import annotations

import csv
import http.server
import io
import os
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.page import write_page
from onetrunk.bundle.runtime import Runtime
from onetrunk.data.words import words_of
from onetrunk.model.backbone import Backbone

playwright = pytest.importorskip("playwright.sync_api")
WEB = Path(__file__).parents[2] / "web"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
    pytest.mark.skipif(
        not AXE.exists() or not (WEB / "node_modules" / "onnxruntime-web").exists(),
        reason="no npm install in web/",
    ),
]
APPS = ("place", "nested", "mood", "flags", "stars")
TEXT = "mum met ann in new york, by the river bank"
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]


class Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
    }

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def folder(make_backbone: Any, make_app: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page, and a bundle ``other`` beside its own."""
    base = tmp_path_factory.mktemp("page")
    backbone: Backbone = make_backbone()
    for name, seed in (("first", 0), ("other", 3)):
        apps = {app: make_app(backbone, app, seed=seed, max_length=64) for app in APPS}
        export_bundle(backbone, apps, base / name, "fp32")
    write_page(base / "first", base / "page", WEB / "node_modules" / "onnxruntime-web" / "dist")
    shutil.copytree(base / "other", base / "page" / "other")
    return base / "page"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visit:
    """A page that is open; what went wrong on it, and what it asked others for, is kept."""

    def __init__(self, browser: Any, folder: Path, **options: Any) -> None:
        handler = partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://localhost:{self.server.server_port}/"
        self.context = browser.new_context(**options)
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.context.on("request", self._note_request)
        self.page = self.context.new_page()
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: Any) -> None:
        local = (self.address, "blob:" + self.address, "data:")
        if not request.url.startswith(local):
            self.elsewhere.append(request.url)

    def _note_message(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, query: str = "") -> Any:
        self.page.goto(self.address + query)
        self.answered()
        return self.page

    def answered(self) -> None:
        self.page.get_by_text("answered in").wait_for()

    def write(self, text: str) -> None:
        """Put a text in, and wait for its answers."""
        self.page.get_by_role("textbox", name="Text", exact=True).fill(text)
        start, end = words_of(text)[-1]
        last = self.page.locator(".annotated").first.locator(".word").last
        playwright.expect(last).to_have_text(text[start:end])

    def app(self, name: str) -> Any:
        return self.page.locator(f'[data-app="{name}"]').first

    def shot(self, name: str) -> None:
        if shots := os.environ.get("PLAYGROUND_SHOTS"):
            look = f"{self.page.viewport_size['width']}"
            Path(shots).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(shots) / f"{name}-{look}.png", full_page=True)

    def close(self) -> None:
        self.context.close()
        self.server.shutdown()


@pytest.fixture
def visit(browser: Any, folder: Path) -> Iterator[Any]:
    """``visit(...)`` opens a page. At the end nothing has gone wrong, or to anyone else."""
    visits: list[Visit] = []

    def make(**options: Any) -> Visit:
        visits.append(Visit(browser, folder, **options))
        return visits[-1]

    yield make
    for one in visits:
        one.close()
    assert [one.complaints for one in visits] == [[] for _ in visits]
    assert [one.elsewhere for one in visits] == [[] for _ in visits]


def test_all_apps_answer_as_in_python(visit: Any, folder: Path) -> None:
    here = visit()
    here.open()
    here.write(TEXT)
    here.shot("answers")
    wanted = Runtime(folder / "bundle").predict(TEXT)["apps"]
    for name in ("place", "nested"):
        marks = here.app(name).locator(".entity > .type").all_text_contents()
        types = [entity["type"] for entity in wanted[name]["entities"]]
        assert sorted(mark.split(",")[0] for mark in marks) == sorted(types)
        assert all("%" in mark for mark in marks)
    pressed = here.app("mood").locator('[aria-pressed="true"]').get_attribute("data-label")
    assert [pressed] == wanted["mood"]["labels"]
    assert here.app("stars").locator("strong").text_content() == f"{wanted['stars']['value']:.1f}"
    assert re.search(
        r"trunk took [\d.]+ ms", here.page.locator("[role=status]").first.text_content()
    )
    assert all("ms" in time for time in here.page.locator(".time").all_text_contents())
    here.page.get_by_role("checkbox", name="flags").uncheck()
    assert here.page.locator('[data-app="flags"]').count() == 0


def test_texts_and_labels_are_never_html(visit: Any) -> None:
    here = visit()
    page = here.open()
    here.write("<img src=x onerror=alert(1)> <b>ann</b>")
    mood = here.app("mood")
    mood.get_by_text("Another label").first.click()
    mood.get_by_label("Another label").fill("<i>x</i>")
    mood.get_by_role("button", name="Add").click()
    assert mood.locator('[data-label="<i>x</i>"]').get_attribute("aria-pressed") == "true"
    assert page.locator("main img, main b, main i").count() == 0


def test_two_bundles_are_compared(visit: Any, folder: Path) -> None:
    here = visit()
    page = here.open("?compare=other")
    page.wait_for_selector(".compared")
    here.write(TEXT)
    here.shot("compare")
    assert page.locator(".column-title").all_text_contents()[1].startswith("other")
    answers = [Runtime(folder / name).predict(TEXT)["apps"] for name in ("bundle", "other")]
    same = answers[0]["mood"]["labels"] == answers[1]["mood"]["labels"]
    badges = page.locator('[data-app="mood"] .badge').all_text_contents()
    assert badges == ["same answer" if same else "different answer"] * 2
    page.get_by_role("button", name="End comparison").click()
    assert page.locator('[data-app="mood"]').count() == 1


def test_an_app_is_corrected_taught_used_and_saved(
    visit: Any, folder: Path, tmp_path: Path
) -> None:
    """By keyboard and mouse; what is saved answers in Python as on the page."""
    here = visit(accept_downloads=True)
    page = here.open()
    place = here.app("place")
    for number, name in enumerate(("ann", "mum", "paris", "york", "bank", "music")):
        here.write(f"call {name} {number}")
        word = place.get_by_role("button", name=name)
        word.click()
        if number == 0:
            here.shot("menu")
            page.get_by_label("Another type").fill("name")
            page.get_by_role("button", name="Add").click()
        else:
            page.locator(".picker").get_by_role("button", name="name", exact=True).press("Enter")
        assert place.locator(".entity", has_text=f"{name}name").count() == 1
        assert page.evaluate("document.activeElement.textContent") == name
        for other in ("call", str(number)):  # what the random app made of the other words
            place.get_by_role("button", name=other).click()
            none = page.locator(".picker").get_by_role("button", name="No entity")
            none.click() if none.count() else page.keyboard.press("Escape")
    assert "6 examples" in place.locator(".lesson").text_content()
    place.get_by_role("button", name="Teach").click()
    place.locator(".curve").wait_for()
    said = place.locator(".lesson [role=status]").text_content()
    score = (
        r"entity F1 [\d.]+ by cross-validation on 6 examples; the app before: [\d.]+ on the same"
    )
    assert re.match(rf"{score}\..* Learnt from 6 examples", said)
    here.shot("taught")
    here.write("call ann 7")
    assert place.locator(".entity", has_text="annname").count() == 1
    with page.expect_download() as saved:
        place.get_by_role("button", name="Save app").click()
    saved.value.save_as(tmp_path / "place.safetensors")
    content = (tmp_path / "place.safetensors").read_bytes()
    runtime = Runtime(folder / "bundle")
    runtime.add(BundledApp.from_bytes("place", content, "place"))
    (entity,) = runtime.predict("call ann 7", ["place"])["apps"]["place"]["entities"]
    assert (entity["text"], entity["type"]) == ("ann", "name")
    with page.expect_download() as saved:
        place.get_by_role("button", name="Save examples").click()
    assert saved.value.suggested_filename == "place.jsonl"


def test_a_new_app_is_taught_and_can_be_stopped(visit: Any) -> None:
    here = visit()
    page = here.open()
    page.get_by_role("button", name="New app").click()
    here.shot("dialog")
    page.get_by_label("Name").fill("mood")
    page.get_by_label("Labels or types").fill("place, person")
    page.get_by_role("button", name="Create").click()
    assert "There is an app mood already." in page.get_by_role("alert").text_content()
    page.get_by_label("Name").fill("about")
    page.get_by_role("button", name="Create").click()
    about = here.app("about")
    for number, (label, word) in enumerate(
        [("place", "paris"), ("person", "mum"), ("place", "york"), ("person", "ann")] * 2
    ):
        here.write(f"met {word} {number}")
        about.locator(f'[data-label="{label}"]').click()
    about.get_by_role("button", name="Teach").click()
    about.locator(".curve").wait_for()
    assert "Learnt from 8 examples" in about.locator(".lesson").text_content()
    here.write("met mum 9")
    assert about.locator('[aria-pressed="true"]').get_attribute("data-label") == "person"
    assert "%" in about.locator(".bars").text_content()
    page.evaluate("""() => {
      // A worker that never answers, as a lesson that takes very long.
      Worker.prototype.postMessage = () => {};
      Worker.prototype.terminate = () => { window.terminated = true; };
    }""")
    about.get_by_role("button", name="Teach").click()
    about.get_by_role("button", name="Cancel").click()
    about.get_by_text("Stopped; the app is as it was.").wait_for()
    assert page.evaluate("window.terminated")
    here.answered()
    assert about.locator('[aria-pressed="true"]').get_attribute("data-label") == "person"


def test_what_cannot_be_learnt_is_said(visit: Any) -> None:
    here = visit()
    page = here.open()
    page.get_by_role("button", name="New app").click()
    page.get_by_label("Name").fill("length")
    page.get_by_label("What it does").select_option("rating")
    page.get_by_role("button", name="Create").click()
    length = here.app("length")
    length.get_by_label("Right value").fill("3")
    length.get_by_role("button", name="Set").click()
    length.get_by_role("button", name="Teach").click()
    length.get_by_text("there is nothing to tell apart").wait_for()
    assert page.locator(".wrong:visible").count() == 1


def test_a_table_is_annotated(visit: Any, folder: Path) -> None:
    here = visit(accept_downloads=True)
    page = here.open()
    rows = [[str(number), f'ann, "mum"\nin {word}'] for number, word in enumerate(["paris"] * 20)]
    file = io.StringIO()
    csv.writer(file).writerows([["id", "text"], *rows])
    page.locator("#table-file").set_input_files(
        {"name": "rows.csv", "mimeType": "text/csv", "buffer": file.getvalue().encode()}
    )
    page.get_by_role("button", name="Annotate").click()
    page.get_by_role("button", name="Save as CSV").wait_for()
    here.shot("table")
    taken = {"name": "t.csv", "mimeType": "text/csv", "buffer": b"text,mood\nann,x\n"}
    page.locator("#table-file").set_input_files(taken)
    page.get_by_role("button", name="Annotate").click()
    page.get_by_text("has the name of a column of answers").wait_for()
    page.locator("#table-file").set_input_files(
        {"name": "rows.csv", "mimeType": "text/csv", "buffer": file.getvalue().encode()}
    )
    page.get_by_role("button", name="Annotate").click()
    page.get_by_role("button", name="Save as CSV").wait_for()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    assert saved.value.suggested_filename == "rows.annotated.csv"
    answered = [*csv.DictReader(io.StringIO(saved.value.path().read_text()))]
    assert [[row["id"], row["text"]] for row in answered] == rows
    wanted = Runtime(folder / "bundle").predict(rows[0][1])["apps"]
    assert answered[0]["mood"] == wanted["mood"]["labels"][0]
    assert float(answered[0]["stars"]) == pytest.approx(wanted["stars"]["value"], abs=1e-3)


def test_a_workbook_is_refused_by_choice_and_by_drop(visit: Any) -> None:
    here = visit()
    page = here.open()
    says = page.locator(".table [role=status]")
    drop = """([name, text]) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([text], name));
      const drop = { dataTransfer, bubbles: true, cancelable: true };
      document.body.dispatchEvent(new DragEvent("drop", drop));
    }"""
    wrong = {
        "complaints.xlsx": "complaints.xlsx is an Excel file: save it as CSV first.",
        "photo.png": "photo.png is no text table: choose a CSV, in UTF-8.",
    }
    for name, message in wrong.items():
        page.evaluate(drop, ["good.csv", "text\nann\n"])
        playwright.expect(says).to_have_text("good.csv: 1 row, 1 column")
        page.evaluate(drop, [name, "PK\3\4"])
        playwright.expect(says).to_have_text(message)
        playwright.expect(says).to_be_in_viewport()
        assert page.get_by_role("button", name="Annotate").count() == 0
        page.evaluate(drop, ["good.csv", "text\nann\n"])
        playwright.expect(says).to_have_text("good.csv: 1 row, 1 column")
        chosen = {"name": name, "mimeType": "", "buffer": b"PK\3\4"}
        page.locator("#table-file").set_input_files(chosen)
        playwright.expect(says).to_have_text(message)
    assert here.app("mood").count() == 1  # the bundle is still open


def test_after_one_visit_the_page_works_offline(visit: Any) -> None:
    here = visit()
    here.open()
    here.page.get_by_text("Ready to work offline").wait_for()
    here.server.shutdown()
    here.server.server_close()
    here.page.reload()
    here.answered()
    here.write(TEXT)
    assert here.app("place").locator(".word").count() > 5


def test_bundles_of_other_sites_and_broken_ones_are_refused(browser: Any, folder: Path) -> None:
    here = Visit(browser, folder, service_workers="block")
    says = here.page.locator("[role=status]").first
    here.page.goto(f"{here.address}?bundle=http://elsewhere.invalid/b")
    says.get_by_text("is on another site").wait_for()
    here.page.goto(f"{here.address}?bundle=nowhere")
    says.get_by_text("bundle.json cannot be read").wait_for()
    assert here.elsewhere == []
    here.close()


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_nothing_bars_anyone(scheme: str, width: int, visit: Any) -> None:
    """axe-core finds no violation, and nothing is wider than the window."""
    here = visit(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
    page = here.open()
    here.write(TEXT)
    checked = {}

    def check(name: str) -> None:
        page.add_script_tag(path=AXE)
        found = page.evaluate("axe.run()")["violations"]
        checked[name] = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        here.shot(f"{name}-{scheme}")

    check("answers")
    here.app("place").locator(".word").first.click()
    check("menu")
    page.keyboard.press("Escape")
    for text in ("call ann", "met bob", TEXT):
        here.write(text)
        here.app("mood").get_by_role("button", name="Answer is right").click()
        here.app("mood").locator('[data-label="a"]').click()
        if text == "met bob":
            here.app("mood").locator('[data-label="b"]').click()
    here.app("mood").get_by_role("button", name="Teach").click()
    here.app("mood").locator(".curve").wait_for()
    check("taught")
    page.get_by_role("button", name="New app").click()
    check("dialog")
    page.keyboard.press("Escape")
    table = {"name": "t.csv", "mimeType": "text/csv", "buffer": b"text\ncall ann\n"}
    page.locator("#table-file").set_input_files(table)
    page.get_by_role("button", name="Annotate").click()
    page.get_by_role("button", name="Save as CSV").wait_for()
    check("table")
    here.open("?compare=other")
    page.wait_for_selector(".compared")
    check("compare")
    assert checked == {name: [] for name in checked}
