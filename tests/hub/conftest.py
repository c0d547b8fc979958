"""A small hub on loopback: repositories with branches, commits, large files and tokens.

It speaks what ``huggingface_hub`` asks for when it pushes and loads (HF_ENDPOINT); nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants

TOKEN = "hf_secret"
LARGE = (".safetensors", ".onnx")


@dataclass
class Repo:
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})

    def at(self, revision: str) -> str | None:
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass
class Hub:
    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    uploads: list[str] = field(default_factory=list)
    """Hashes of the large files that were sent."""
    fail_after: int | None = None
    """So many large files are taken; the next one breaks off."""
    cut: Callable[[str, int], int | None] = lambda path, start: None
    """By path and first byte that are asked for: after how many bytes a download breaks off."""
    downloads: list[tuple[str, int, int]] = field(default_factory=list)
    """What was sent of files: path, first byte, number of bytes."""
    validated: list[str] = field(default_factory=list)
    """Cards that were sent to be checked."""
    stop: Callable[[], None] = lambda: None

    def add(self, name: str, files: dict[str, bytes]) -> None:
        """Put a repository there that nobody pushed."""
        self.repos[name] = Repo(False, {"1" * 40: files}, {"main": "1" * 40})


@contextmanager
def fake_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    hub.stop = stop
    try:
        yield hub
    finally:
        stop()


class _Handler(BaseHTTPRequestHandler):
    state: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        parts, body = self._parts(), self._body()
        if parts[:3] == ["api", "repos", "create"]:
            asked = json.loads(body)
            name = (
                f"{asked['organization']}/{asked['name']}"
                if asked.get("organization")
                else asked["name"]
            )
            if self._is_member():
                is_new = name not in self.state.repos
                self.state.repos.setdefault(name, Repo(asked.get("visibility") == "private"))
                self._json({"url": f"{self.state.url}/{name}"}, 200 if is_new else 409)
        elif parts == ["api", "validate-yaml"]:
            self.state.validated.append(json.loads(body)["content"])
            self._json({"errors": [], "warnings": []})
        elif parts[-3:] == ["lfs", "objects", "batch"]:
            self._json(
                {"transfer": "basic", "objects": [*map(self._lfs, json.loads(body)["objects"])]}
            )
        elif parts[:2] == ["api", "models"] and (repo := self._repo("/".join(parts[2:4]), True)):
            if parts[4] == "preupload":
                files = json.loads(body)["files"]
                self._json({"files": [
                    {"path": file["path"], "shouldIgnore": False,
                     "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular"}
                    for file in files
                ]})  # fmt: skip
            elif parts[4] == "branch":
                is_new = parts[5] not in repo.branches
                repo.branches.setdefault(parts[5], repo.branches["main"])
                self._json({}, 201 if is_new else 409)
            elif parts[4] == "commit":
                self._commit(repo, "/".join(parts[2:4]), parts[5], body)

    def do_PUT(self) -> None:
        oid, content = self._parts()[-1], self._body()
        hub = self.state
        if hub.fail_after is not None and len(hub.uploads) >= hub.fail_after:
            self._json({"error": "broken off"}, 400)
            return
        assert hashlib.sha256(content).hexdigest() == oid
        hub.blobs[oid] = content
        hub.uploads.append(oid)
        self._json({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self._parts()
        if parts[:2] == ["api", "models"] and (repo := self._repo("/".join(parts[2:4]))):
            revision = parts[5] if len(parts) > 5 else "main"
            if commit := self._revision(repo, revision):
                files = repo.commits[commit]
                if len(parts) > 4 and parts[4] == "tree":
                    self._json([
                        {"type": "file", "path": path, "size": len(content), "oid": _etag(content)}
                        for path, content in files.items()
                    ])  # fmt: skip
                else:
                    siblings = [{"rfilename": path} for path in files]
                    self._json({
                        "id": "/".join(parts[2:4]), "sha": commit, "private": repo.private,
                        "siblings": siblings, "tags": [], "downloads": 0,
                    })  # fmt: skip
        elif parts[2:3] == ["resolve"] and (repo := self._repo("/".join(parts[:2]))):
            self._file(repo, parts[3], "/".join(parts[4:]))

    def _file(self, repo: Repo, revision: str, path: str) -> None:
        commit = self._revision(repo, revision)
        if commit is None:
            return
        content = repo.commits[commit].get(path)
        if content is None:
            self._json({"error": "no such file"}, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
            headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(content)}"'}
            headers["Accept-Ranges"] = "bytes"
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            end = None
            if self.command == "GET":
                end = self.state.cut(path, start)
                self.state.downloads.append((path, start, len(content[start:][:end])))
            self._send(content[start:], 206 if start else 200, headers, end)

    def _commit(self, repo: Repo, name: str, branch: str, body: bytes) -> None:
        files = dict(repo.commits[repo.branches[branch]])
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                files[line["value"]["path"]] = self.state.blobs[line["value"]["oid"]]
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        repo.commits[commit], repo.branches[branch] = files, commit
        self._json({"commitUrl": f"{self.state.url}/{name}/commit/{commit}", "commitOid": commit})

    def _lfs(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["oid"] in self.state.blobs:
            return asked
        href = f"{self.state.url}/blobs/{asked['oid']}"
        return {**asked, "actions": {"upload": {"href": href, "header": {}}}}

    def _knows(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _is_member(self) -> bool:
        if self._knows():
            return True
        self._json({"error": "who are you?"}, 401)
        return False

    def _repo(self, name: str, writes: bool = False) -> Repo | None:
        repo, knows = (
            self.state.repos.get(name),
            self.headers.get("Authorization") == f"Bearer {TOKEN}",
        )
        if repo is None or ((repo.private or writes) and not knows):
            self._json({"error": "no such repository"}, 404, {"X-Error-Code": "RepoNotFound"})
            return None
        return repo

    def _revision(self, repo: Repo, revision: str) -> str | None:
        commit = repo.at(revision)
        if commit is None:
            self._json({"error": "no such revision"}, 404, {"X-Error-Code": "RevisionNotFound"})
        return commit

    def _parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(
            json.dumps(value).encode(),
            status,
            {"Content-Type": "application/json", **(headers or {})},
        )

    def _send(
        self, content: bytes, status: int, headers: dict[str, str], end: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:end])


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with fake_hub() as running:
        where = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "ENDPOINT": running.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": where,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }.items():
            for module in (constants, huggingface_hub.file_download, huggingface_hub.hf_api):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, value)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield running
