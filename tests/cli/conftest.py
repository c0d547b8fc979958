"""The command line, called in this process."""

import os
import subprocess
import sys
from collections.abc import Callable
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
_DEVICE = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from onetrunk.__main__ import main
main()
"""


@pytest.fixture
def run_on_device(tmp_path: Path) -> Callable[..., Result]:
    """``run`` in a new process in ``tmp_path``, with no more than ``onetrunk[runtime]`` brings."""

    def call(*arguments: object) -> Result:
        done = subprocess.run(
            [sys.executable, "-c", _DEVICE, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

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
