"""What SECURITY.md promises: no connection unless asked, no secret in a file or a message, no code
run by loading. (Files made to do harm: ``test_fuzzing.py``.)"""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from onetrunk.bundle.runtime import Runtime
from onetrunk.errors import UserError
from onetrunk.label.labelers.endpoint import Endpoint
from onetrunk.model.loading import load_encoder
from onetrunk.serving.api import create_app
from onetrunk.serving.logs import log_to

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "tests" / "fixtures" / "format-0.1"
SECRETS = {
    "HF_TOKEN": "hf_SecretOfTheHubThatNobodyMayRead",
    "ONETRUNK_TOKEN": "secret-of-the-service-that-nobody-may-read",
    "OPENAI_API_KEY": "sk-SecretOfTheEndpoint",
}

# All that is done with files of this machine. What reaches for the network is told, and fails.
EVERYTHING = """
import socket, sys
from pathlib import Path

reached = []

def forbidden(name):
    def refuse(*arguments, **more):
        reached.append((name, repr(arguments[-1:])))
        raise OSError("no network in this test")
    return refuse

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, forbidden(name))
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, forbidden(name))

out, fixtures = map(Path, sys.argv[1:])
import onetrunk
from onetrunk.config import Recipe

rows = [("call mum in york", "call"), ("play some music", "play")] * 6
tagged = [(["mum", "met", "ann"], ["O", "O", "B-per"]), (["in", "york"], ["O", "B-loc"])] * 6
pairs = out / "pairs.jsonl"
pairs.write_text('{"query": "call mum", "positive": "met mum"}\\n' * 4
                 + '{"query": "play music", "positive": "a song"}\\n' * 4)
recipe = {"encoder": str(fixtures / "backbone"), "steps": 2, "k": 1, "strategy": "tc",
          "families": {"tc": {"batch_size": 4, "sources": [{"path": str(pairs)}]}}}
onetrunk.prefinetune(Recipe.model_validate(recipe), out / "backbone")
backbone = onetrunk.Backbone.load(out / "backbone")
for name, family, train in (("a", "tc", rows), ("b", "ner", tagged)):
    app = onetrunk.adapt(backbone, family, train=train, adapter="linear" if name == "a" else "lora",
                         epochs=1, validation=train)
    app.evaluate(train)
    app.save(out / name)
onetrunk.load(out / "a", out / "b").predict(["call ann in york"])
onetrunk.export([out / "a", out / "b"], out / "phone", precision="int8")
runtime = onetrunk.load(out / "phone")
runtime.predict(["call ann in york"])
runtime.embed(["call ann"])
runtime.teach("c", "tc", rows)
print(repr(backbone), repr(runtime), "reached:", reached)
sys.exit(len(reached))
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with all that was written, and all that was said."""
    out = tmp_path_factory.mktemp("everything")
    environment = {key: value for key, value in os.environ.items() if "OFFLINE" not in key}
    environment |= {**SECRETS, "HF_HOME": str(out / "hub"), "ONETRUNK_CACHE": str(out / "cache")}
    ran = subprocess.run(
        [sys.executable, "-c", EVERYTHING, str(out), str(FIXTURES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    return out, ran.stdout + ran.stderr


def test_nothing_opens_a_connection(everything: tuple[Path, str]) -> None:
    """From import to a device's own app, with the hub's client free to ask for what it likes."""
    out, said = everything
    assert "reached: []" in said
    assert {"backbone", "a", "b", "phone"} <= {path.name for path in out.iterdir()}


def test_no_secret_is_written_or_said(everything: tuple[Path, str]) -> None:
    out, said = everything
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 20
    for secret in SECRETS.values():
        assert secret not in said
        for path in files:
            assert secret.encode() not in path.read_bytes(), path


def test_a_service_does_not_tell_its_token(tmp_path: Path) -> None:
    """Neither the one it has nor those that it is given, in answers, logs and metrics."""
    stream, token = io.StringIO(), SECRETS["ONETRUNK_TOKEN"]
    loggers = [logging.getLogger(name) for name in ("onetrunk.service", "uvicorn.error")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    level = logging.getLogger("onetrunk").level
    log_to(stream)
    said = ""
    try:
        app = create_app(Runtime(FIXTURES / "bundle", threads=1), bundle=tmp_path, token=token)
        with TestClient(app, raise_server_exceptions=False) as client:
            for given in (token, f"{token}x"):
                headers = {"authorization": f"Bearer {given}"}
                for method, path in (("DELETE", "/v1/apps/none"), ("PUT", "/v1/apps/x")):
                    said += client.request(method, path, headers=headers, content=b"x").text
            for path in ("/metrics", "/openapi.json", "/", "/v1/apps"):
                said += client.get(path, headers={"authorization": f"Bearer {token}"}).text
    finally:
        for one, (handlers, propagate, of_one) in zip(loggers, before, strict=True):
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(of_one)
        logging.getLogger("onetrunk").setLevel(level)
    assert "401" in stream.getvalue()
    assert token not in said + stream.getvalue()


def test_an_endpoint_is_shown_without_its_key() -> None:
    endpoint = Endpoint("http://localhost:1/v1", key=SECRETS["OPENAI_API_KEY"])
    assert SECRETS["OPENAI_API_KEY"] not in f"{endpoint!r} {endpoint}"


# ----------------------------------------------------------------------------- no code is run


class Harm:
    """What a pickle runs when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_beside_weights_is_not_run(tmp_path: Path) -> None:
    """A module that config.json names, and pickles under all names that libraries look for."""
    folder, harmed = tmp_path / "encoder", tmp_path / "harmed"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((FIXTURES / "backbone" / name).read_bytes())
    code = f"import os\nos.mkdir({str(harmed)!r})\n"
    for name in ("modeling_x.py", "configuration_x.py", "tokenization_x.py", "custom_generate.py"):
        (folder / name).write_text(code)
    for name in ("pytorch_model.bin", "training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(pickle.dumps(Harm(harmed)))
    modules = {"AutoConfig": "configuration_x.X", "AutoModel": "modeling_x.X"}
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((folder / name).read_text())
        tokenizer = {"AutoTokenizer": ["tokenization_x.X", "tokenization_x.X"]}
        (folder / name).write_text(json.dumps(content | {"auto_map": modules | tokenizer}))
    assert load_encoder(str(folder)).depth == 3
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"it has only pytorch_model\.bin"):
        load_encoder(str(folder))
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"model_type": "x"}))
    with pytest.raises(UserError, match="cannot be read"):
        load_encoder(str(folder))
    assert not harmed.exists()


def test_the_package_never_reads_pickles_or_runs_text() -> None:
    """By the names in its source: no pickle, eval, exec or trust_remote_code=True. torch.load and
    numpy's pickles are not there either."""
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            place = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(one.name for one in node.names)]
                if {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"} & {*names}:
                    found.append(place)
            elif isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                keywords = {one.arg: ast.unparse(one.value) for one in node.keywords}
                flags = {"trust_remote_code", "allow_pickle"}
                if name in ("eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load"):
                    found.append(place)
                if any(keywords.get(flag, "False") != "False" for flag in flags):
                    found.append(place)
    assert found == []


def test_licences_are_known() -> None:
    """Of all pinned packages that are installed here."""
    script = ROOT / ".ci" / "audit.py"
    if not script.exists():
        pytest.skip("a source distribution has no .ci")
    ran = subprocess.run(
        [sys.executable, str(script), "licences"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
    assert " 0 refused" in ran.stdout
