"""The command line, called in this process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from onetrunk import cli


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """``run("adapt", …)``: the exit code and what was printed."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["onetrunk", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Result(stop.value.code, captured.out, captured.err)

    return call


HEAVY = (
    "torch", "transformers", "pyarrow", "matplotlib", "sklearn", "scipy", "xxhash", "onnx",
    "datasets", "pandas", "openpyxl",
)  # fmt: skip
# What every command imports, it imports once: each command runs in a fork. Whatever else a command
# imports, it looks for itself, and does not find what is blocked. Not onnxruntime: it starts a
# thread, which a fork would wait for.
_DEVICE = f"""
import importlib, json, os, signal, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from onetrunk.__main__ import main
for name in ("cli", "data.sources", "model.lora"):
    importlib.import_module("onetrunk." + name)
for line in iter(sys.stdin.readline, ""):
    folder, files, arguments = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    signal.alarm(60)
    os.chdir(folder)
    for number, file in enumerate(files):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["onetrunk", *arguments]
    main()
    sys.exit()
"""


@pytest.fixture(scope="session")
def device() -> Iterator[subprocess.Popen[str]]:
    """A process with no more than ``onetrunk[runtime]`` brings, of which commands are forks."""
    environment = {**os.environ, "COLUMNS": "100"}
    with subprocess.Popen(
        [sys.executable, "-c", _DEVICE],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def run_on_device(
    device: subprocess.Popen[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Result]:
    """``run`` in a new process in ``tmp_path``, with no more than ``onetrunk[runtime]`` brings."""
    said = tmp_path_factory.mktemp("said")

    def call(*arguments: object) -> Result:
        assert device.stdin is not None
        assert device.stdout is not None
        files = [os.devnull, str(said / "out"), str(said / "err")]
        print(json.dumps([str(tmp_path), files, [*map(str, arguments)]]), file=device.stdin)
        device.stdin.flush()
        code = int(device.stdout.readline())
        out, err = (Path(file).read_text(encoding="utf-8") for file in files[1:])
        assert "Traceback" not in err, err
        return Result(code, out, err)

    return call


@pytest.fixture
def recipe(corpora: Path, tiny_encoder_folder: Any) -> Path:
    """Two steps of both families on a tiny BERT, as a file."""
    path = corpora / "recipe.yaml"
    families = {
        "ner": {"batch_size": 4, "sources": [{"path": "pre_ner/a"}]},
        "tc": {"batch_size": 4, "sources": [{"path": "pre_pairs/c"}]},
    }
    content = {"encoder": str(tiny_encoder_folder("bert")), "steps": 2, "k": 2}
    path.write_text(yaml.safe_dump({**content, "precision": "fp32", "families": families}))
    return path
