"""The example of a plug-in family, imported by path and run on a tiny encoder."""

import json
import random
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from onetrunk import cli
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.apps.windows import Examples
from onetrunk.config import Recipe
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.data.alignment import encode
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder
from onetrunk.model.padding import pad
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.objectives import OBJECTIVES
from onetrunk.prefinetuning.objectives.base import Chunk, Setup
from onetrunk.processes import Processes

EXAMPLE = Path(__file__).parents[2] / "examples" / "inference_family"


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``pip install examples/inference_family`` leaves, by the example's own pyproject."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / "onetrunk_nli-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(info.parent)
    for registry in (FAMILIES, OBJECTIVES):  # nothing of it stays for other tests
        monkeypatch.setattr(registry, "_loaded", {})


@pytest.fixture
def nli() -> Any:
    return FAMILIES["nli"]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


WEAK = [
    {"query": f"call {a} and {b} in the new river bank", "positive": f"call {a}"}
    for a in "abcdef"
    for b in "ghij"
]
WITH_NEGATIVES = [{**row, "negatives": [f"met {row['query'][5]}", "call mum"]} for row in WEAK]


def labelled(count: int, seed: int = 0) -> list[dict[str, str]]:
    rng, rows = random.Random(seed), []
    for _ in range(count):
        first, second = rng.sample("abcdefgh", 2)
        said = rng.choice([first, second])
        rows.append(
            {
                "premise": f"met {first} in paris",
                "hypothesis": f"met {said}",
                "label": "entailed" if said == first else "other",
            }
        )
    return rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "weak/parts/train.jsonl", WEAK)
    write(tmp_path / "weak/with_negatives/train.jsonl", WITH_NEGATIVES)
    for seed, split in enumerate(("train", "test")):
        write(tmp_path / f"nli/app/{split}.jsonl", labelled(40, seed))
    return tmp_path


@pytest.fixture
def make_objective(data: Path, tiny_encoder: Encoder, nli: Any) -> Callable[..., Any]:
    def make(*names: str, **changes: Any) -> Any:
        sources = [{"path": str(data / "weak" / name)} for name in names]
        kind = OBJECTIVES["nli"]
        settings = kind.Settings(sources=sources, batch_size=6, **changes)
        builder = CorpusBuilder(tiny_encoder.tokenizer)
        return kind(Setup(nli, settings, builder, tiny_encoder, "mean", 0))

    return make


@pytest.fixture
def recipe(corpora: Path, data: Path, tiny_encoder_folder: Any) -> dict[str, Any]:
    return {
        "encoder": str(tiny_encoder_folder("bert")),
        "steps": 3,
        "k": 2,
        "lora": {"rank": 4, "alpha": 8},
        "precision": "fp32",
        "families": {
            "ner": {"batch_size": 4, "sources": [{"path": str(corpora / "pre_ner/a")}]},
            "tc": {"batch_size": 4, "sources": [{"path": str(corpora / "pre_pairs/c")}]},
            "nli": {"batch_size": 4, "sources": [{"path": str(data / "weak/parts")}]},
        },
    }


def sides(objective: Any, batch: Any, encoder: Encoder) -> list[tuple[str, str, float]]:
    """Premise, hypothesis and truth of each pair."""
    separator = len(objective.separator)
    return [
        (
            encoder.tokenizer.decode(ids[1 : first - separator]),
            encoder.tokenizer.decode(ids[first:-1]),
            pair.truth,
        )
        for ids, first, pair in zip(batch.ids, batch.first, batch.pairs, strict=True)
    ]


def test_a_drawn_pair_is_what_an_app_reads(
    make_objective: Any, nli: Any, tiny_encoder: Encoder
) -> None:
    """Stage 1 joins tokens, stages 2 and 3 join texts; the hypothesis starts at the same token."""
    batch = make_objective("parts").draw(0)
    read = {}
    for row in WEAK:
        for sides in (("query", "positive"), ("positive", "query")):
            example = nli.parse(" => ".join(row[side] for side in sides))
            (encoded,) = encode(tiny_encoder.tokenizer, [nli.text(example)], 64)
            read[encoded.ids] = nli.units(example, [encoded]).tokens
    found = [read[tuple(ids.tolist())] for ids in batch.ids if tuple(ids.tolist()) in read]
    assert len(found) >= 12  # each of six pairs, and turned round
    for ids, first in zip(batch.ids, batch.first, strict=True):
        if tuple(ids.tolist()) in read:
            assert read[tuple(ids.tolist())] == [[first]]


def test_what_is_false(make_objective: Any, tiny_encoder: Encoder) -> None:
    made = make_objective("parts")
    drawn = sides(made, made.draw(1), tiny_encoder)
    true = [(a, b) for a, b, truth in drawn if truth]
    assert len(true) == 6
    for premise, hypothesis in true:
        assert premise.startswith(hypothesis)
        assert (hypothesis, premise, 0) in drawn  # it says less
        others = {b for a, b, truth in drawn if a == premise and not truth}
        assert len(others) == 1  # the hypothesis of another premise
        assert others <= {b for a, b in true if a != premise}


def test_given_negatives_are_false(make_objective: Any, tiny_encoder: Encoder) -> None:
    made = make_objective("with_negatives", shorter=0.1)  # none is short enough to turn round
    batch = made.draw(0)
    drawn = sides(made, batch, tiny_encoder)
    for premise in {a for a, _, _ in drawn}:
        false = {b for a, b, truth in drawn if a == premise and not truth}
        assert false == {f"met {premise[5]}", "call mum"}
    assert {(pair.truth, pair.weight) for pair in batch.pairs} == {(1, 1), (0, 0.5)}


@pytest.mark.parametrize("world", [1, 3])
def test_parts_are_the_loss_of_the_whole_batch(
    make_objective: Any, tiny_encoder: Encoder, world: int
) -> None:
    """Chunks and processes add up to the plain weighted mean; so do their gradients."""
    made = make_objective("parts", "with_negatives")
    whole = made.draw(2)
    weights = sum(pair.weight for pair in whole.pairs)

    class Others(Processes):
        def total(self, value: float, device: torch.device) -> float:
            return weights

    def chunks(ids: Any) -> Any:
        for rows in ([*range(0, len(ids), 2)], [*range(1, len(ids), 2)]):
            tokens, mask = pad([ids[row] for row in rows], 1)
            yield Chunk(rows, tiny_encoder.states(tokens, mask), mask)

    summed = 0.0
    for rank in range(world):
        batch = made.draw(2, rank, world)
        for part in made.parts(chunks, batch, Others(rank, world)):
            part.backward()
            summed += float(part.detach())
    gradient = made.scorer.weight.grad.clone()
    made.scorer.weight.grad = None

    losses = []
    for ids, first, pair in zip(whole.ids, whole.first, whole.pairs, strict=True):
        tokens, mask = pad([ids], 1)
        (states,) = tiny_encoder.states(tokens, mask).double()
        feature = (states[:first].mean(0) - states[first:].mean(0)).abs()
        score = feature @ made.scorer.weight[0].double() + made.scorer.bias.double()
        losses.append(pair.weight * F.softplus(-score if pair.truth else score))
    expected = torch.cat(losses).sum() / weights
    expected.backward()
    assert summed == pytest.approx(float(expected.detach()), rel=1e-5)
    torch.testing.assert_close(gradient, made.scorer.weight.grad, rtol=1e-4, atol=1e-6)


def test_draws_depend_on_seed_and_step_alone(make_objective: Any) -> None:
    one, other = make_objective("parts"), make_objective("parts")
    one.draw(0)
    assert one.draw(3).pairs == other.draw(3).pairs
    assert one.draw(3).pairs != one.draw(4).pairs
    parts = [other.draw(3, rank, 2).pairs for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == sorted(one.draw(3).pairs)


def test_three_loras(recipe: dict[str, Any], tmp_path: Path) -> None:
    """tpl: each family's loss reaches its own LoRA and no other; all three are kept."""
    trainer = Trainer(Recipe.model_validate(recipe))
    assert trainer.stack is not None
    for name in recipe["families"]:
        trainer.optimizer.zero_grad()
        trainer.backward(name, 0)
        for matrix in trainer.stack.b.values():
            assert matrix.grad is not None
            moved = {
                other
                for other in recipe["families"]
                if matrix.grad[trainer.stack.slot(other)].any()
            }
            assert moved == {name}
    trainer.run(lambda record: None)
    trainer.backbone().save(tmp_path / "backbone")
    loaded = Backbone.load(tmp_path / "backbone")
    assert set(loaded.primary_loras) == {"ner", "tc", "nli"}
    sums = {
        name: sum(float(b.abs().sum()) for _, b in lora.matrices.values())
        for name, lora in loaded.primary_loras.items()
    }
    assert len({round(value, 6) for value in sums.values()} - {0.0}) == 3


def test_labelled_sets(recipe: dict[str, Any], corpora: Path, data: Path) -> None:
    """Strategy muppet trains on the family's labelled sets, as on those of any other."""
    recipe["families"]["nli"] = {
        "batch_size": 4,
        "labelled": [{"path": str(data / "nli/app/train.jsonl")}],
    }
    recipe["families"]["tc"]["labelled"] = [{"path": str(corpora / "tc/app/train.parquet")}]
    del recipe["families"]["ner"]
    trainer = Trainer(Recipe.model_validate({**recipe, "strategy": "muppet"}))
    losses = [trainer.step(step).losses for step in range(2)]
    assert all(0 < loss["nli"] < 10 for loss in losses)
    assert trainer.objectives["nli"].report()["sources"][0]["classes"] == 2


@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_an_app_learns(data: Path, nli: Any, tiny_backbone: Backbone, adapter: Any) -> None:
    train, test = (nli.read(data / f"nli/app/{split}.jsonl") for split in ("train", "test"))
    app = fit(tiny_backbone, nli, Data(nli.label_set(train), train), AdaptSettings(adapter=adapter))
    engine = Engine(tiny_backbone, {"app": app})
    assert engine.score("app", train, "train")[nli.metric] > 80
    assert engine.score("app", test, "test")[nli.metric] > 60


def test_a_long_pair_is_read_once(nli: Any, tiny_encoder: Encoder) -> None:
    example = nli.parse(f"{'a b c ' * 20}=> {'d e f ' * 20}")
    examples = Examples.prepare(nli, [example], tiny_encoder, 24)
    assert len(examples.encoded) > 3
    assert sum(examples.counts(range(len(examples.encoded)))) == 1
    ((window, at),) = [(w, at) for w, tokens in enumerate(examples.tokens) for at in tokens]
    start, end = examples.encoded[window].offsets[at]
    assert example.text[start:end] == "d"
    assert 6 <= at < 24 - 6  # with a part of either side around it


def test_a_hypothesis_that_the_tokenizer_deletes(nli: Any, tiny_encoder: Encoder) -> None:
    example = nli.parse("met a => \u200b")
    examples = Examples.prepare(nli, [example], tiny_encoder, 24)
    assert examples.units == [[]]
    states, mask = torch.ones(1, 9, 32), torch.ones(1, 9, dtype=torch.int64)
    assert nli.gather(states, mask, examples.tokens, "mean").shape == (0, 32)
    judged = nli.decode(torch.empty(0, 2), [], ["no", "yes"])
    assert nli.render(example, judged) == {"labels": [], "probabilities": {}}


def test_balanced_accuracy(nli: Any) -> None:
    rows = [nli.parse("a => b").__class__("a => b", 5, label) for label in "yyyyyyyyyn"]
    judged = [nli.decode(torch.tensor([[0.0, 1.0]]), [(5, 6)], ["n", "y"]) for _ in rows]
    assert nli.score(rows, judged) == pytest.approx({"balanced_accuracy": 50, "accuracy": 90})


def test_errors(nli: Any, data: Path) -> None:
    with pytest.raises(UserError, match="'call mum' is no pair of texts: write premise => hypo"):
        nli.parse("call mum")
    wrong = write(data / "wrong.jsonl", [{"premise": "a", "hypotesis": "b", "label": "c"}])
    with pytest.raises(UserError, match=r"no column 'hypothesis'; did you mean 'hypotesis'"):
        nli.read(wrong)


def test_the_command_line(
    recipe: dict[str, Any], data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Three families from recipe to prediction, the plug-in's app beside one of onetrunk's."""
    (data / "recipe.yaml").write_text(json.dumps({**recipe, "steps": 1}))  # JSON is YAML

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["onetrunk", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        assert stop.value.code == 0, captured.err
        return str(captured.out)

    backbone = data / "backbone"
    run("prefinetune", data / "recipe.yaml", "--out", backbone)
    train, test = (data / f"nli/app/{split}.jsonl" for split in ("train", "test"))
    follows = data / "apps/follows"
    run("adapt", backbone, "--family", "nli", "--train", train, "--epochs", 1, "--out", follows)
    run(
        *("adapt", backbone, "--family", "tc", "--adapter", "linear"),
        *("--train", data / "tc/app/train.parquet", "--out", data / "apps/intent"),
    )  # fmt: skip
    scores = json.loads(run("evaluate", follows, "--data", test))
    assert set(scores) == {"app", "rows", "balanced_accuracy", "accuracy"}
    apps = [follows, data / "apps/intent"]
    found = json.loads(run("predict", *apps, "--text", "met a => call b"))
    assert set(found["apps"]["follows"]["probabilities"]) == {"entailed", "other"}
    assert set(found["apps"]["intent"]["probabilities"]) == {"call", "play"}
    run("predict", *apps, "--text", "met a => call b", "--format", "pretty")


def test_weak_data(tmp_path: Path) -> None:
    import weak_data

    parts = weak_data.wikisplit_parts([{"query": "a , and b", "positive": "A is . 'B is ."}])
    assert [part["positive"] for part in parts] == ["A is .", "'B is ."]
    captions = [
        {"query": "a man in red runs with a dog", "positive": "someone runs"},
        {"query": "a man runs", "positive": "someone runs"},
        {"query": "a man with a dog runs", "positive": "someone runs"},
    ]
    (head,) = weak_data.caption_heads(captions)
    assert head == {
        "query": captions[0]["query"],
        "positive": "a man in red runs",
        "negatives": ["someone runs"],
    }
    rng = random.Random(0)
    pairs = [
        {
            "query": f"s{rng.randrange(60)}",
            "positive": f"s{rng.randrange(60)}",
            "label": rng.choice(["ENTAILMENT", "NEUTRAL"]),
        }
        for _ in range(30)
    ]
    halves = weak_data.sick_halves(pairs)
    assert sum(map(len, halves)) == 30
    one, other = (
        {t for row in half for t in (row["premise"], row["hypothesis"])} for half in halves
    )
    assert one
    assert other
    assert not one & other
