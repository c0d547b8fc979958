"""A script run in headless Chromium: served from this machine, its result sent back."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

PAGE = """<!doctype html><meta charset="utf-8">
<script type="importmap">{"imports": {"onnxruntime-web": "/ort/ort.wasm.min.mjs"}}</script>
<script type="module">
const send = (body) => fetch("/result", { method: "POST", body: JSON.stringify(body) });
try {
  const { default: run } = await import("/script.js");
  await send({ found: await run(), browser: navigator.userAgent });
} catch (error) {
  await send({ error: `${error}\\n${error.stack}` });
}
</script>"""


class _Handler(SimpleHTTPRequestHandler):
    """Folders by the first part of the path, texts by the whole of it."""

    def __init__(
        self,
        *args: Any,
        folders: Mapping[str, Path],
        texts: Mapping[str, str],
        results: Queue[dict[str, Any]],
    ) -> None:
        self.folders, self.texts, self.results = folders, texts, results
        super().__init__(*args)

    def do_GET(self) -> None:
        if (text := self.texts.get(self.path)) is None:
            return super().do_GET()
        kinds = {"js": "text/javascript", "json": "application/json"}
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kinds.get(self.path.rsplit(".", 1)[-1], "text/html"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def do_POST(self) -> None:
        self.results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def translate_path(self, path: str) -> str:
        first, _, rest = path.lstrip("/").partition("/")
        if first not in self.folders:
            return "/nowhere"
        self.directory = str(self.folders[first])
        return super().translate_path(rest)

    def log_message(self, *args: Any) -> None:
        pass


def in_chromium(
    script: str,
    folders: Mapping[str, Path],
    texts: Mapping[str, str] | None = None,
    chromium: str = "chromium",
    timeout: float = 1800,
) -> dict[str, Any]:
    """Run the default export of a module in a page of its own; returns its result.

    ``folders`` are served under their names; ``ort`` has to be the dist folder of onnxruntime-web.
    Raises RuntimeError with the browser's error, or if it says nothing within ``timeout`` seconds.
    """
    results: Queue[dict[str, Any]] = Queue()
    pages = {"/": PAGE, "/script.js": script, **(texts or {})}
    handler = partial(_Handler, folders=folders, texts=pages, results=results)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as profile:
        browser = subprocess.Popen(
            [
                chromium, "--headless=new", "--no-sandbox", "--disable-gpu",
                f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            answer = results.get(timeout=timeout)
        except Empty:
            raise RuntimeError(f"the browser said nothing in {timeout:.0f} s") from None
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer
