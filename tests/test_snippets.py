"""Every piece of Python, shell, YAML and JSON in README and docs/ is run here, or says why not.

``<!-- not run: reason -->`` before it is how it says so. README and the tutorial are run by
``test_readme.py``. A page's pieces run in their order, in a folder that holds what they name. The
examples in docstrings of public names are run in such a folder, too.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from torch import nn
from typer.main import get_command
from typer.testing import CliRunner

import onetrunk
import onetrunk.spacy_pipe  # registers the factory, as the entry point does where it is installed
from onetrunk.apps.app import App
from onetrunk.benchmark.suite_file import Suite
from onetrunk.bundle.export import export_bundle
from onetrunk.cli import app
from onetrunk.config import Recipe, parse
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import LoraAdapter
from onetrunk.prefinetuning.objectives import settings_model

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted(ROOT.glob("docs/*.md")))]
RUN_BY_TEST_README = ("README.md", "docs/start.md")
RUN = ("python", "sh", "yaml", "json")
FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+) -->\n\n?)?```(?P<language>.*)\n(?P<code>(?s:.*?))^```$", re.M
)
ORT = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist"


@dataclass(frozen=True)
class Piece:
    page: str
    line: int
    language: str
    code: str
    reason: str | None


def pieces(page: str) -> list[Piece]:
    text = (ROOT / page).read_text()
    return [
        Piece(
            page,
            text[: found.start()].count("\n") + 1,
            found["language"],
            found["code"],
            found["reason"],
        )
        for found in FENCE.finditer(text)
    ]


ALL = [piece for page in PAGES for piece in pieces(page)]


def test_every_piece_is_seen_and_has_a_language() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text()
        assert len(re.findall(r"^\s*```", text, re.M)) == 2 * len(pieces(page)), page
        assert not re.findall(r"^(?: {4}|\t)\S.*\n\n(?! )", re.sub(FENCE, "", text), re.M), page
    assert [f"{one.page}:{one.line}" for one in ALL if not one.language] == []


def test_every_mark_stands_before_a_piece() -> None:
    for page in PAGES:
        marks = (ROOT / page).read_text().count("<!-- not run")
        assert marks == len([one for one in pieces(page) if one.reason]), page


@pytest.mark.parametrize("language", ["yaml", "json"])
def test_what_is_data_can_be_read(language: str) -> None:
    """By the parser of what it is: a suite, a recipe, settings of a family."""
    for piece in (one for one in ALL if one.language == language and not one.reason):
        where = f"{piece.page}:{piece.line}"
        if language == "json":
            json.loads(piece.code)
            continue
        said = yaml.safe_load(piece.code)
        if "strategies" in said:
            parse(Suite, said, where)
        elif "families" in said:
            parse(Recipe, {"encoder": "encoder"} | said, where)
        else:
            family = "ner" if "concept" in said else "tc"
            source = {"sources": [{"path": "data"}]}
            parse(settings_model(family), source | said, where)
        families = said.get("families", {})
        for family, settings in families.items():
            parse(settings_model(family), settings, where)


def test_options_are_those_of_the_commands() -> None:
    """Also of what is not run, and of lines that only show the form of a command."""
    root = typer.Context(get_command(app))
    for piece in (one for one in ALL if one.language in ("sh", "text")):
        for line in re.sub(r"\\?\n +(?=[-\[])", " ", piece.code).splitlines():
            words = re.findall(r"[\w./:-]+", line.split(" #")[0].rpartition("| ")[2])
            if words[:1] != ["onetrunk"]:
                continue
            command: Any = root.command
            for word in words[1:3]:
                command = getattr(command, "commands", {}).get(word, command)
            known = {option for parameter in command.params for option in parameter.opts}
            known |= {option for parameter in command.params for option in parameter.secondary_opts}
            unknown = {word for word in words if word.startswith("-")} - known - {"-", "--help"}
            assert not unknown, f"{piece.page}:{piece.line}: {line}"


@pytest.fixture(scope="module")
def shelf(
    tiny_encoder_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with the files that the pages name."""
    shelf = tmp_path_factory.mktemp("shelf")
    names, places = ("ann", "bob", "cid", "dora"), ("paris", "york")
    sentences = [(name, place) for name in names for place in places]
    conll = "\n".join(
        f"{name} B-PER\nmet O\nmum O\nin O\n{place} B-LOC\n" for name, place in sentences
    )
    texts = [f"{verb} {name}" for verb in ("call", "play") for name in (*names, "music", "mum")]
    table = "text,label\n" + "".join(f"{text},{text.split()[0]}\n" for text in texts)
    for name in ("train", "dev", "test"):
        (shelf / f"{name}.conll").write_text(conll)
    for name in ("train", "dev", "test", "intents", "wishes"):
        (shelf / f"{name}.csv").write_text(table)
    rows = [{"text": text, "Intent": text.split()[0]} for text in texts]
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(rows).to_excel(shelf / "tickets.xlsx", index=False)
    pandas.DataFrame({"text": texts}).to_excel(shelf / "messages.xlsx", index=False)
    (shelf / "messages").mkdir()
    for name in ("mails.txt", "raw.txt", "messages.txt", "chat.log", "messages/one.txt"):
        (shelf / name).write_text("\n".join(texts) + "\n")
    for name in ("messages.csv", "raw.csv"):
        (shelf / name).write_text("text\n" + "\n".join(texts) + "\n")
    (shelf / "names.csv").write_text("name,type\nann,PER\nparis,LOC\n")
    docs = [{"title": text, "body": f"{text} in paris"} for text in texts]
    (shelf / "messages.jsonl").write_text(
        "".join(json.dumps({"text": one}) + "\n" for one in texts)
    )
    (shelf / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in docs))
    pairs = [{"query": text, "positive": f"{text} now"} for text in texts]
    (shelf / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    recipe = {
        "encoder": str(tiny_encoder_folder("bert")), "steps": 2, "k": 2, "lora": {"rank": 4},
        "families": {
            "ner": {"batch_size": 4, "sources": [{"path": str(shelf / "train.conll")}]},
            "tc": {"batch_size": 4, "sources": [{"path": str(shelf / "pairs.jsonl")}]},
        },
    }  # fmt: skip
    (shelf / "recipes").mkdir()
    for path in ("recipe.yaml", "recipes/tpl.yaml"):
        (shelf / path).write_text(yaml.safe_dump(recipe))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shelf)
        backbone = onetrunk.prefinetune("recipe.yaml", out="runs/tpl")
        onetrunk.adapt(backbone, "ner", train="train.conll", adapter="linear").save("apps/news")
        onetrunk.adapt(backbone, "tc", train="intents.csv", adapter="linear").save("apps/intents")
        onetrunk.export(["apps/news", "apps/intents"], "phone", precision="int8")
    return shelf


def type_in(code: str) -> None:
    """Run lines of a shell: only onetrunk's commands, and what is piped into them."""
    for line in code.replace("\\\n", " ").splitlines():
        before, _, command = line.rpartition(" | ")
        program, *words = shlex.split(command, comments=True)
        assert program == "onetrunk"
        if "page" in words + [word.lstrip("-") for word in words] and not ORT.exists():
            continue
        typed = subprocess.run(before, shell=True, capture_output=True) if before else None
        result = CliRunner().invoke(
            app, words, input=typed and typed.stdout, env={"ONETRUNK_ORT": str(ORT)}
        )
        assert result.exit_code == 0, f"{line}: {result.output}"


@contextmanager
def served(code: str, answering: Any) -> Iterator[str]:
    """The code, with a service to ask, if it asks one."""
    if "http://localhost:8000" not in code:
        yield code
        return
    from onetrunk.serving.api import create_app

    runtime = onetrunk.Runtime("phone", threads=1)
    with answering(create_app(runtime, bundle=Path("phone"), token="...")) as url:
        yield code.replace("http://localhost:8000", url)


WITH_CODE = [
    page
    for page in PAGES
    if page not in RUN_BY_TEST_README
    and any(one.language in ("python", "sh") and not one.reason for one in pieces(page))
]


@pytest.mark.parametrize("page", WITH_CODE)
def test_code_runs(
    page: str, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: Any
) -> None:
    shutil.copytree(shelf, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(FAMILIES, "_own", dict(FAMILIES._own))  # a page adds a family
    names: dict[str, Any] = {}
    for piece in pieces(page):
        if piece.reason or piece.language not in ("python", "sh"):
            continue
        for written in re.findall(r'(?:--out |\.save\("|out="|\], ")([\w/-]+)', piece.code):
            shutil.rmtree(written, ignore_errors=True)  # what an earlier page of the reader's wrote
        if piece.language == "sh":
            type_in(piece.code)
            continue
        with served(piece.code, answering) as code:
            exec(compile("\n" * piece.line + code, piece.page, "exec"), names)


@pytest.mark.parametrize("name", [one for one in onetrunk.__all__ if one != "__version__"])
def test_every_public_name_has_an_example_that_runs(
    name: str, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: Any
) -> None:
    said = inspect.getdoc(getattr(onetrunk, name)) or ""
    (code,) = re.findall(r"^```python\n(.*?)^```$", said, re.M | re.S)
    example = compile(code, name, "exec")
    if name == "push_to_hub":  # needs an account
        return
    if name == "Client":
        from onetrunk.serving.api import create_app

        runtime = onetrunk.Runtime(shelf / "phone", threads=1)
        with answering(create_app(runtime)) as url:
            exec(code.replace("http://localhost:8000", url), {})
        return
    shutil.copytree(shelf, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    exec(example, {})


def test_the_pass_that_devices_md_spells_out_is_that_of_the_runtime(
    tiny_backbone: Backbone,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    random_adapter: Callable[..., LoraAdapter],
) -> None:
    """With primary LoRAs, LoRAs of several ranks and a head alone."""
    monkeypatch.chdir(tmp_path)
    encoder, tc = tiny_backbone.encoder, FAMILIES["tc"]
    apps = {}
    for seed, (name, rank) in enumerate({"intent": 6, "mood": 2, "spam": 0}.items()):
        torch.manual_seed(seed)
        head = nn.Linear(2 * encoder.width, 3).requires_grad_(False)
        adapter = random_adapter(encoder, k=2, rank=rank, seed=seed) if rank else None
        apps[name] = App(tc, ["a", "b", "c"], head, adapter, "tc", 60, tiny_backbone.fingerprint, 2)
    export_bundle(tiny_backbone, apps, tmp_path / "phone", "fp32")
    (piece,) = (one for one in pieces("docs/devices.md") if one.language == "python")
    exec(compile(piece.code, "docs/devices.md", "exec"), names := {})
    answers = onetrunk.Runtime("phone", threads=1).predict(names["text"])["apps"]
    lines = dict(line.split(" ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines.keys() == answers.keys() == apps.keys()
    for name, line in lines.items():
        assert ast.literal_eval(line) == pytest.approx(answers[name]["probabilities"], abs=2e-4)
