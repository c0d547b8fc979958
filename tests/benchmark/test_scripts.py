"""The scripts in benchmarks/: they can be started, and the parts of a result are kept."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from onetrunk.benchmark.jobs import work
from onetrunk.storage import read_json, write_json

SCRIPTS = Path(__file__).parents[2] / "benchmarks"
NO_COMMAND = ("chaos_commands", "embedding", "many_labels", "shared", "word_vectors")


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(file.stem for file in SCRIPTS.glob("*.py")))
def test_a_script_says_how_it_is_used(script: str) -> None:
    if script == "mteb_view" and find_spec("mteb") is None:
        pytest.skip("needs mteb")
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), "--help"]
    run = subprocess.run(command, cwd=SCRIPTS.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert ("usage:" in run.stdout) == (script not in NO_COMMAND)


def test_parts_are_made_once_and_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from shared import Parts  # type: ignore[import-not-found]

    (tmp_path / "results").mkdir()
    parts, made = Parts("x", tmp_path), []

    def make(name: str) -> dict[str, str]:
        made.append(name)
        return {"name": name}

    names = ["b, c=0.1", "a.1"]
    work([parts.job(name, lambda name=name: make(name)) for name in names])
    assert made == names
    parts.pack()
    assert list(read_json(parts.packed, "parts")) == sorted(names)
    for file in parts.folder.glob("*.json"):
        file.unlink()
    again = Parts("x", tmp_path)
    work([again.job(name, lambda name=name: make(name)) for name in names])
    assert made == names
    assert again["a.1"] == {"name": "a.1"}
    assert "z" not in again
    write_json(parts.folder / "a.1.json", {"name": "newer"})
    assert again["a.1"] == {"name": "newer"}
    again.pack()
    assert read_json(parts.packed, "parts")["a.1"] == {"name": "newer"}
