"""The nine commands of chaos.py on a tiny random encoder: their inputs, what they wrote, and how
it is checked. All paths are relative to the folder of a trial, which is the current one."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT_0_1 = Path(__file__).parents[1] / "tests" / "fixtures" / "format-0.1"
TEXT = "mum met ann in new york, play some music by the river"
TOKEN = "nobody-guesses-it"

TEXTS = 800

State = dict[str, str]
"""By part of a result, a hash of what it says; times and dates are left out."""


@dataclass(frozen=True)
class Command:
    """A command and an earlier result that it replaces or goes on from."""

    name: str
    arguments: str
    state: Callable[[], State]
    """What is there, checked as a reader would. Raises an exception if anything is damaged."""
    earlier: str = ""
    """The command that made the earlier result; empty: there is none."""
    finished: Callable[[], int] = lambda: 0
    """How many pieces the next run need not do again."""
    keeps_earlier: bool = True
    """Whether the earlier result stays until the new one is there."""
    weight: int = 5
    """Its share of the kills: those that take long get fewer."""
    done_twice: str = ""
    """What is said if the command has nothing left to do, and says so as an error."""


def make_inputs() -> None:
    """Encoder, backbone, apps, bundle, and small data sets of every kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for kind in ("backbone", "apps", "bundle"):
        shutil.copytree(FORMAT_0_1 / kind, kind)
    Path("encoder").mkdir()
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy2(Path("backbone", file), "encoder")
    rng = random.Random(0)
    names, places, verbs = ["ann", "bob", "cid", "dora"], ["paris", "york"], ["met", "call", "play"]

    def write(name: str, columns: dict[str, list[Any]]) -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), name)

    def sentences(rows: int) -> list[list[str]]:
        return [[*map(rng.choice, (names, verbs, names)), "in", rng.choice(places)]
                for _ in range(rows)]  # fmt: skip

    for name, rows in (("entities/train", 60), ("entities/test", 20)):
        words = sentences(rows)
        tags = [["B-who", "O", "B-who", "O", "B-where"]] * rows
        write(f"{name}.parquet", {"tokens": words, "ner_tags": tags})
    for name, rows in (("verbs/train", 60), ("verbs/test", 20)):
        texts = sentences(rows)
        write(f"{name}.parquet", {"text": [*map(" ".join, texts)], "label": [t[1] for t in texts]})
    texts = [*map(" ".join, sentences(80))]
    write("pairs/train.parquet", {"query": texts, "positive": [text[::-1] for text in texts]})
    write("texts/train.parquet", {"text": [*map(" ".join, sentences(TEXTS))]})
    for day in ("monday", "tuesday", "friday"):
        write(f"mail/{day}.parquet", {"text": [*map(" ".join, sentences(80))]})
    Path("names.csv").write_text("pattern,type\nann|bob,person\n")
    Path("more.csv").write_text("pattern,type\nann|bob|cid|dora,person\nparis|york,place\n")
    Path("token").write_text(TOKEN)
    recipe = {
        "encoder": "encoder",
        "k": 2,
        "lora": {"rank": 4, "alpha": 8},
        "precision": "fp32",
        "steps": 8,
        "families": {
            "ner": {"batch_size": 8, "sources": [{"path": "entities"}]},
            "tc": {"batch_size": 8, "sources": [{"path": "pairs"}]},
        },
    }
    tasks = [
        {"name": "who", "family": "ner", "data": "entities"},
        {"name": "verb", "family": "tc", "data": "verbs", "metric": "macro_f1"},
    ]
    suite = {"recipe": "recipe.yaml", "steps": 3, "draws": [{"rows": 8}], "tasks": tasks,
             "adapt": {"epochs": 1, "rank": 4, "precision": "fp32"}}  # fmt: skip
    Path("recipe.yaml").write_text(json.dumps(recipe))
    Path("none.yaml").write_text(json.dumps({**suite, "strategies": ["none"]}))
    Path("suite.yaml").write_text(json.dumps({**suite, "strategies": ["none", "tpl"]}))


def commands() -> list[Command]:
    """All of them; several in two variants, which take turns."""
    prefinetune = "prefinetune recipe.yaml --out out --checkpoint-every 2 --resume"
    adapt = "adapt backbone --train verbs --family tc --epochs 2 --out out --overwrite"
    adapt += " --precision fp32"  # auto measures which is faster
    label = "label texts --out out --shard-rows 100 --with"
    annotate = "annotate texts --out out --partition-rows 100 --workers 1 --model"
    predict = "--input mail --out out"
    export = "export backbone apps/intent apps/calendar --out out --overwrite"
    add, remove = "bundle add bundle apps/more", "bundle remove bundle flags"
    return [
        Command("prefinetune", prefinetune, _backbone, finished=_checkpoints, weight=1,
                done_twice="already exists"),
        Command("prefinetune", f"{prefinetune} --overwrite", _backbone,
                f"{prefinetune} --seed 1", _checkpoints, weight=1),
        Command("adapt", adapt, _app, f"{adapt} --seed 1", weight=2),
        Command("label", f"{label} regex:more.csv", _rows, finished=_shards),
        Command("label", f"{label} regex:more.csv --overwrite", _rows,
                f"{label} regex:names.csv"),
        Command("benchmark", "benchmark suite.yaml --out out", _cells,
                "benchmark none.yaml --out out", _trained_or_scored, weight=2),
        Command("export", export, _bundle("out"), f"{export} --int8", weight=2),
        Command("bundle", add, _bundle("bundle"),
                adapt.replace("--out out", "--out apps/more --adapter linear")),
        Command("bundle", remove, _bundle("bundle"), done_twice="has no app"),
        Command("annotate", f"{annotate} bundle", _parts, finished=lambda: len(_parts())),
        Command("annotate", f"{annotate} bundle --overwrite", _parts,
                f"{annotate} apps/intent", keeps_earlier=False),
        Command("predict", f"predict bundle {predict}", _answers,
                finished=lambda: len(_answers())),
        Command("predict", f"predict bundle {predict} --overwrite", _answers,
                f"predict apps/intent {predict}", keeps_earlier=False),
        Command("serve", "serve bundle --port 0 --token-file token --threads 1",
                _bundle("bundle"), weight=9),
    ]  # fmt: skip


def requests() -> Iterator[tuple[str, str, bytes]]:
    """Changes of apps, over HTTP: method, path, body. Each may be made twice."""

    def lesson(rows: int) -> bytes:
        examples = [
            {"text": f"{verb} {name}", "label": verb}
            for verb in ("call", "play", "met")
            for name in ("ann", "bob", "cid", "dora", "mum")[:rows]
        ]
        body = {"family": "tc", "examples": examples, "keep": True, "overwrite": True}
        return json.dumps(body).encode()

    app = FORMAT_0_1 / "bundle" / "apps"
    for rows in (3, 4, 5):
        yield "PUT", "/v1/apps/new", (app / "intent.safetensors").read_bytes()
        yield "POST", "/v1/apps/taught/teach", lesson(rows)
        yield "DELETE", "/v1/apps/new", b""
        yield "PUT", "/v1/apps/taught", (app / "flags.safetensors").read_bytes()
        yield "POST", "/v1/apps/other/teach", lesson(rows)
        yield "DELETE", "/v1/apps/taught", b""


def ask(address: str, method: str, path: str, body: bytes) -> bool:
    """Make a request; returns whether it was answered, by success or because the app that it is to
    delete is gone."""
    request = urllib.request.Request(f"http://{address}{path}", body or None, method=method)
    request.add_header("Authorization", f"Bearer {TOKEN}")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30):
            return True
    except urllib.error.HTTPError as error:
        if method == "DELETE" and error.code == 404:
            return True
        raise
    except OSError:
        return False


def _backbone() -> State:
    from onetrunk.kinds import kind_of
    from onetrunk.model.backbone import Backbone
    from onetrunk.prefinetuning.log import read_log

    folder = Path("out")
    if not kind_of(folder):
        return {}
    backbone = Backbone.load(folder)
    losses = [one.losses for one in read_log(folder / "training.jsonl", backbone.record["steps"])]
    return {"backbone": _hash(backbone.fingerprint, _tensors(folder), losses)}


def _app() -> State:
    from onetrunk.apps.app import load_app
    from onetrunk.kinds import kind_of
    from onetrunk.model.backbone import Backbone

    folder = Path("out")
    if not kind_of(folder):
        return {}
    app = load_app(folder, Backbone.load("backbone"))
    return {"app": _hash(app.labels, app.max_length, _tensors(folder))}


def _rows() -> State:
    import pyarrow.parquet as pq

    file = Path("out/train.parquet")
    if not file.exists():
        return {}
    rows = pq.read_table(file).to_pylist()
    assert [row["source_row"] for row in rows] == list(range(TEXTS)), "rows are missing or doubled"
    return {"rows": _hash(rows)}


def _cells() -> State:
    from onetrunk.benchmark.store import load_cells
    from onetrunk.model.backbone import Backbone

    cells = load_cells(Path("out"))
    state = {str(cell.id): _hash(cell.scores, cell.hashes["backbone"]) for cell in cells}
    for folder in Path("out/backbones").glob("*"):
        if not folder.name.endswith(".checkpoints") and not folder.name.startswith("."):
            state[folder.name] = Backbone.load(folder).fingerprint
    return state


def _bundle(name: str) -> Callable[[], State]:
    def state() -> State:
        from onetrunk.bundle.layout import Bundle
        from onetrunk.bundle.runtime import Runtime
        from onetrunk.kinds import kind_of

        folder = Path(name)
        if not kind_of(folder):
            return {}
        bundle = Bundle(folder)
        for path in bundle.files:
            bundle.read(path)
        Runtime(folder, threads=1).predict(TEXT)
        return {"bundle": _hash(bundle.files)}

    return state


def _parts() -> State:
    import pyarrow.parquet as pq

    parts = sorted(Path("out").glob("part-*.parquet"))
    return {part.name: _hash(pq.read_table(part).to_pylist()) for part in parts}


def _answers() -> State:
    import pyarrow.parquet as pq

    files = sorted(Path("out").glob("*.parquet"))
    return {file.name: _hash(pq.read_table(file).to_pylist()) for file in files}


def _checkpoints() -> int:
    return len(list(Path().glob("**/step-*")))


def _trained_or_scored() -> int:
    return len(list(Path("out").glob("backbones/tpl*"))) + len(
        list(Path("out").glob("cells/tpl/*/*.json"))
    )


def _shards() -> int:
    return len(list(Path("out/.work/shards").glob("[0-9]*.parquet")))


def _tensors(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.safetensors"))
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _hash(*values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
