import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from onetrunk.apps.windows import Examples
from onetrunk.config import FamilySettings, Recipe, load_recipe
from onetrunk.contamination.evaluation_sets import EvaluationSets
from onetrunk.contamination.index import OverlapSettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.data.alignment import Encoded
from onetrunk.data.batching import by_length
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Span
from onetrunk.data.units import Units
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES, family
from onetrunk.families.base import Family
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling, pool
from onetrunk.model.padding import pad
from onetrunk.prefinetuning.log import StepRecord
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.objectives import settings_model
from onetrunk.prefinetuning.objectives.base import Chunk, Encode, Setup
from onetrunk.prefinetuning.objectives.supervised import SupervisedObjective
from onetrunk.processes import ALONE, Processes

PATHS = {"ner": ("pre_ner/a", "pre_ner/b", "ner/app"), "tc": ("tc/app", "moods", "rooms")}


@pytest.fixture
def sets(corpora: Path) -> Path:
    """The corpora, and two more labelled sets of texts: of three labels, and of five."""
    for name, labels in (("moods", "abc"), ("rooms", "vwxyz")):
        rows = [(f"call {i} {label * (i % 3 + 1)}", label) for i in range(12) for label in labels]
        write(corpora / name, text=[text for text, _ in rows], label=[label for _, label in rows])
    return corpora


def write(folder: Path, split: str = "train", **columns: list[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    return folder


def objective(
    of: str | Family[Any, Any],
    paths: Iterable[Path],
    encoder: Encoder,
    builder: CorpusBuilder | None = None,
    pooling: Pooling = "mean",
    seed: int = 0,
    **settings: Any,
) -> SupervisedObjective:
    labelled = [{"path": str(path)} for path in paths]
    given = FamilySettings.model_validate({"batch_size": 8, "labelled": labelled, **settings})
    builder = builder or CorpusBuilder(encoder.tokenizer)
    torch.manual_seed(seed)
    which = family(of) if isinstance(of, str) else of
    return SupervisedObjective(Setup(which, given, builder, encoder, pooling, seed))


def every(of: str, sets: Path, encoder: Encoder, **settings: Any) -> SupervisedObjective:
    return objective(of, [sets / path for path in PATHS[of]], encoder, **settings)


def encoding(encoder: Encoder, size: int = 3) -> Encode:
    def encode(ids: Sequence[Any]) -> Iterator[Chunk]:
        for rows in by_length([len(row) for row in ids], size):
            input_ids, mask = pad([ids[row] for row in rows], encoder.tokenizer.pad_token_id)
            yield Chunk(rows, encoder.states(input_ids, mask), mask)

    return encode


def loss(
    made: SupervisedObjective, encode: Encode, batch: Any, processes: Processes = ALONE
) -> Tensor:
    return torch.stack([torch.zeros(()), *made.parts(encode, batch, processes)]).sum()


def gradients(encoder: Encoder, made: SupervisedObjective, scalar: Tensor) -> list[Tensor]:
    parameters = [*made.parameters(), *encoder.linear(0, "query").parameters()]
    found = torch.autograd.grad(scalar, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for gradient, parameter in zip(found, parameters, strict=True)
    ]


def as_lists(batch: Any) -> list[Any]:
    return [
        [value if isinstance(value, int) else value.tolist() for value in side]
        for side in vars(batch).values()
    ]


def of_set(batch: Any, number: int) -> Any:
    """The rows of a batch that one set gave."""
    rows = [row for row, of in enumerate(batch.sets) if of == number]
    return replace(batch, **{k: [side[row] for row in rows] for k, side in vars(batch).items()})


@pytest.mark.parametrize("of", ["ner", "tc"])
def test_rows_are_those_that_an_app_trains_on(of: str, sets: Path, tiny_encoder: Encoder) -> None:
    made, which = every(of, sets, tiny_encoder), family(of)
    for corpus, path in zip(made.mixture.corpora, PATHS[of], strict=True):
        rows, data = which.read(sets / path), corpus
        prepared = Examples.prepare(which, rows, tiny_encoder, 64)
        assert data.labels == which.label_set(rows)
        assert len(data) == len(rows) == len(prepared.encoded)
        for i, row in enumerate(rows):
            assert tuple(data.tokens(i)) == prepared.encoded[i].ids
            assert data.units(i).tolist() == prepared.tokens[i]
            targets = which.targets(row, prepared.units[i], data.labels)
            assert data.targets(i).tolist() == targets.tolist()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("of", ["ner", "tc"])
def test_the_loss_is_that_of_a_loop_in_float64(
    of: str, pooling: Pooling, sets: Path, tiny_encoder: Encoder
) -> None:
    """Each unit alone: -log p(its class) / log(classes of its set), and their mean."""
    made = every(of, sets, tiny_encoder, pooling=pooling, batch_size=12)
    batch = made.draw(0)
    assert set(batch.sets) == {0, 1, 2}
    losses = []
    for number, ids, units, targets in zip(*vars(batch).values(), strict=True):
        mask = torch.ones(1, len(ids))
        states = tiny_encoder.states(*pad([ids], 1)).double()
        weight, bias = (p.double() for p in made.heads[number].parameters())
        for at, target in zip(units.tolist(), targets.tolist(), strict=True):
            state = states[0, at] if of == "ner" else pool(states, mask, pooling)
            scores = (weight @ state.flatten() + bias).tolist()
            log_sum = math.log(sum(math.exp(score) for score in scores))
            losses.append((log_sum - scores[target]) / math.log(len(scores)))
    expected = sum(losses) / len(losses)
    for size in (1, 5, 12):
        found = loss(made, encoding(tiny_encoder, size), batch)
        assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("of", "classes"), [("ner", [5, 5, 5]), ("tc", [2, 3, 5])])
def test_a_guess_costs_one_in_every_set(
    of: str, classes: list[int], sets: Path, tiny_encoder: Encoder
) -> None:
    made = every(of, sets, tiny_encoder)
    assert made.classes == classes == [head.out_features for head in made.heads]
    for head in made.heads:
        for parameter in head.parameters():
            torch.nn.init.zeros_(parameter)
    batch = made.draw(0)
    for number in set(batch.sets):
        only = loss(made, encoding(tiny_encoder), of_set(batch, number))
        assert only.item() == pytest.approx(1)
    assert loss(made, encoding(tiny_encoder), batch).item() == pytest.approx(1)


@pytest.mark.parametrize("of", ["ner", "tc"])
def test_a_batch_is_the_sum_of_its_sets(of: str, sets: Path, tiny_encoder: Encoder) -> None:
    made, encode = every(of, sets, tiny_encoder), encoding(tiny_encoder)
    batch = made.draw(1)
    units = sum(map(len, batch.units))
    whole = loss(made, encode, batch)
    shares = torch.zeros(())
    for number in set(batch.sets):
        alone = of_set(batch, number)
        shares = shares + loss(made, encode, alone) * sum(map(len, alone.units)) / units
    assert len(set(batch.sets)) > 1
    torch.testing.assert_close(whole, shares)
    for one, other in zip(
        gradients(tiny_encoder, made, whole), gradients(tiny_encoder, made, shares), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_draws_depend_on_seed_and_step_alone(sets: Path, tiny_encoder: Encoder) -> None:
    one, again = every("tc", sets, tiny_encoder), every("tc", sets, tiny_encoder)
    one.draw(0)
    assert as_lists(one.draw(3)) == as_lists(again.draw(3))
    assert as_lists(one.draw(3)) != as_lists(one.draw(4))
    assert as_lists(one.draw(3)) != as_lists(every("tc", sets, tiny_encoder, seed=1).draw(3))
    for rank in range(3):
        part = [side[rank::3] for side in as_lists(one.draw(3))]
        assert as_lists(one.draw(3, rank, world=3)) == part


def test_sets_are_drawn_by_weight(sets: Path, tiny_encoder: Encoder) -> None:
    settings = [{"path": str(sets / path), "weight": w} for path, w in (("moods", 3), ("rooms", 1))]
    made = objective("tc", [], tiny_encoder, labelled=settings, batch_size=400)
    assert sum(number == 0 for number in made.draw(0).sets) == pytest.approx(300, abs=30)


@dataclass(frozen=True)
class OneOf(Processes):
    """A process whose sum over all is known beforehand."""

    units: int = 0

    def total(self, value: float, device: torch.device) -> float:
        assert value <= self.units
        return self.units


@pytest.mark.parametrize(("of", "world"), [("ner", 2), ("tc", 2), ("tc", 9)])
def test_shards_sum_to_the_whole(of: str, world: int, sets: Path, tiny_encoder: Encoder) -> None:
    """Of nine processes one gets no row of eight."""
    made, encode = every(of, sets, tiny_encoder), encoding(tiny_encoder)
    batch = made.draw(2)
    units = sum(map(len, batch.units))
    whole = loss(made, encode, batch)
    parts = [
        loss(made, encode, made.draw(2, rank, world), OneOf(rank, world, units))
        for rank in range(world)
    ]
    summed = torch.stack(parts).sum()
    torch.testing.assert_close(whole, summed)
    for one, other in zip(
        gradients(tiny_encoder, made, whole), gradients(tiny_encoder, made, summed), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_long_texts_are_cut_and_counted(tmp_path: Path, tiny_encoder: Encoder) -> None:
    long = ["met"] * 4 + ["river"] * 9
    tagged = write(tmp_path / "ner", tokens=[long, ["ann"]], ner_tags=[["O"] * 13, ["B-X"]])
    texts = write(tmp_path / "tc", text=["call " * 13, "met"], label=["a", "b"])
    for of, path in (("ner", tagged), ("tc", texts)):
        made = objective(of, [path], tiny_encoder, max_length=8, batch_size=200)
        data = made.mixture.corpora[0]
        assert [len(data.tokens(row)) for row in (0, 1)] == [8, len(data.tokens(1))]
        assert data.units(0).tolist() == {"ner": [1, 2, 3, 4, 5, 6], "tc": [0]}[of]
        assert [data.truncated(row) for row in (0, 1)] == [True, False]
        drawn = made.draw(0)
        share = sum(len(ids) == 8 for ids in drawn.ids) / 200
        assert made.report()["truncated_share"] == share
        assert 0.3 < share < 0.7


def test_rows_without_a_token_are_left_out(tmp_path: Path, tiny_encoder: Encoder) -> None:
    deleted = "\u200b"
    words = [["ann", "met"], [deleted], ["bob", deleted]]
    tags = [["B-X", "O"], ["B-X"], ["O", "O"]]
    builder = CorpusBuilder(tiny_encoder.tokenizer)
    path = write(tmp_path / "a", tokens=words, ner_tags=tags)
    data = objective("ner", [path], tiny_encoder, builder).mixture.corpora[0]
    assert [data.units(row).tolist() for row in range(len(data))] == [[1, 4], [1]]
    found = {what: (note.count, note.places) for what, note in builder.notes.found.items()}
    where = f"{path / 'train.parquet'}, row"
    assert found["rows left out: nothing of them is read"] == (1, [f"{where} 2"])


def test_rows_of_evaluation_sets_are_left_out(tmp_path: Path, tiny_encoder: Encoder) -> None:
    held = ["ann met mum in the new york river bank", "call bob and play music in paris now"]
    against = write(tmp_path / "held", "test", text=held)
    tagged = [held[0].upper().split(), ["bob", "met", "ann"]]
    write(tmp_path / "n", tokens=tagged, ner_tags=[["B-X"] * 9, ["B-Y", "O", "O"]])
    texts = ["met", held[1].replace("bob", "cid"), "call"]
    write(tmp_path / "t", text=texts, label=["a", "only there", "b"])
    evaluation = EvaluationSets.find([str(against)], OverlapSettings())
    builder = CorpusBuilder(tiny_encoder.tokenizer, evaluation)
    for of, name, labels, kind in (
        ("ner", "n", ["Y"], "normalised"),
        ("tc", "t", ["a", "b"], "near"),
    ):
        made = objective(of, [tmp_path / name], tiny_encoder, builder)
        (corpus,) = made.mixture.corpora
        assert corpus.labels == labels
        read = tiny_encoder.tokenizer.batch_decode(
            [corpus.tokens(row) for row in range(len(corpus))], skip_special_tokens=True
        )
        assert read == {"ner": ["bob met ann"], "tc": ["met", "call"]}[of]
        report = made.mixture.decontamination()[name]
        assert report["source"]["removed"][kind] == 1
        assert made.report()["sources"][0]["rows"] == len(read)


def test_sets_that_do_not_fit_are_refused(tmp_path: Path, tiny_encoder: Encoder) -> None:
    several = write(tmp_path / "several", text=["a", "b"], labels=[["x"], ["x", "y"]])
    with pytest.raises(UserError, match=r"several/train.parquet, row 2: 2 labels for 1 units"):
        objective("tc", [several], tiny_encoder)
    none = write(tmp_path / "none", text=["a", "b"], labels=[[], ["y"]])
    with pytest.raises(UserError, match=r"none/train.parquet, row 1: 0 labels for 1 units"):
        objective("tc", [none], tiny_encoder)
    same = write(tmp_path / "same", text=["a", "b"], label=["x", "x"])
    with pytest.raises(UserError, match="labelled set 'same' has one class"):
        objective("tc", [same], tiny_encoder)
    outside = write(tmp_path / "outside", tokens=[["a"]], ner_tags=[["O"]])
    with pytest.raises(UserError, match="labelled set 'outside' has one class"):
        objective("ner", [outside], tiny_encoder)


@pytest.fixture
def recipe(sets: Path, tiny_encoder_folder: Any) -> Recipe:
    families = {
        name: {"batch_size": 8, "labelled": [{"path": str(sets / path)} for path in paths]}
        for name, paths in PATHS.items()
    }
    return Recipe.model_validate(
        {
            "encoder": str(tiny_encoder_folder("bert")),
            "strategy": "muppet",
            "steps": 4,
            "k": 2,
            "precision": "fp32",
            "families": families,
        }
    )


def trained(recipe: Recipe) -> tuple[Trainer, list[StepRecord]]:
    trainer, records = Trainer(recipe), []
    trainer.run(records.append)
    return trainer, records


def test_training_learns_and_repeats_itself(recipe: Recipe) -> None:
    recipe.steps, recipe.optimizer.backbone_lr = 16, 2e-3
    for settings in recipe.families.values():
        settings["batch_size"] = 24
    trainer, records = trained(recipe)
    again, repeated = trained(recipe)
    assert [record.losses for record in records] == [record.losses for record in repeated]
    assert trainer.encoder.fingerprint() == again.encoder.fingerprint()
    for name in PATHS:
        losses = [record.losses[name] for record in records]
        assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    backbone = trainer.backbone()
    assert backbone.primary_loras == {}
    for name, paths in PATHS.items():
        report = backbone.record["data"][name]
        told = [(source["name"], source["classes"]) for source in report["sources"]]
        names = [path.split("/")[-1] for path in paths]
        assert told == list(zip(names, trainer.objectives[name].classes, strict=True))
        assert sum(source["texts_drawn"] for source in report["sources"]) == 16 * 24


def test_heads_without_rows_in_a_step_are_left_alone(recipe: Recipe) -> None:
    """Two rows cannot be of three sets: the heads of the others get zeros, not nothing."""
    recipe.families["tc"]["batch_size"] = 2
    trainer = Trainer(recipe)
    made = trainer.objectives["tc"]
    before = [head.weight.detach().clone() for head in made.heads]
    used = set(made.draw(0).sets)
    record = trainer.step(0)
    assert all(math.isfinite(value) for value in record.losses.values())
    for number, head in enumerate(made.heads):
        assert head.weight.grad is not None
        assert (head.weight.grad.abs().sum() > 0) == (number in used)
        assert torch.equal(head.weight, before[number]) == (number not in used)


def test_what_a_strategy_trains_on_must_be_listed(recipe: Recipe) -> None:
    labelled = recipe.families["tc"].pop("labelled")
    with pytest.raises(UserError, match=r"recipe: families\.tc\.labelled is empty"):
        Trainer(recipe)
    recipe.families["tc"]["labelled"], recipe.strategy = labelled, "tpl"
    with pytest.raises(UserError, match=r"recipe: families\.ner\.sources is empty"):
        Trainer(recipe)
    recipe.strategy = "muppet"
    recipe.families["ner"]["labelled"][0]["scheme"] = "iob1"
    with pytest.raises(
        UserError, match=r"unknown key 'labelled\.0\.scheme'; valid: label_column, max_rows"
    ):
        Trainer(recipe)


class Ends(Family[tuple[str, str], None]):
    """A family from elsewhere: the first and the last token of a text each tell its label."""

    name: ClassVar[str] = "ends"
    metric: ClassVar[str] = "none"
    Settings: ClassVar[type[FamilySettings]] = FamilySettings

    def read(self, path: Path, notes: Notes | None = None) -> list[tuple[str, str]]:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [(row["said"], row["by"]) for row in map(json.loads, lines)]

    def text(self, example: tuple[str, str]) -> str:
        return example[0]

    def labels_of(self, example: tuple[str, str]) -> Iterable[str]:
        return [example[1]]

    def classes(self, labels: Sequence[str]) -> int:
        return 2 * len(labels)

    def units(self, example: tuple[str, str], windows: Sequence[Encoded]) -> Units:
        return Units((), [[1, len(window.ids) - 2] for window in windows])

    def targets(
        self, example: tuple[str, str], units: Sequence[Span], labels: Sequence[str]
    ) -> Tensor:
        return torch.tensor([2 * labels.index(example[1]), 2 * labels.index(example[1]) + 1])

    def gather(
        self, states: Tensor, mask: Tensor, units: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        return torch.stack([states[row, at] for row, both in enumerate(units) for at in both])

    def _none(self, *given: Any) -> Any:
        raise AssertionError("supervised pre-finetuning does not ask for this")

    parse = decode = score = render = _none


def test_a_family_from_elsewhere_trains(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"said": f"{who} met mum in paris", "by": who} for who in ("ann", "bob", "cid")]
    file = tmp_path / "voices.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(FAMILIES, "_own", {**FAMILIES._own, "ends": Ends()})
    recipe.families["ends"] = {"batch_size": 4, "labelled": [{"path": str(file)}]}
    recipe.steps, recipe.optimizer.objective_lr = 6, 2e-2
    recipe.optimizer.decay = "constant"
    trainer, records = trained(recipe)
    batch = trainer.objectives["ends"].draw(0)
    assert all(
        units.tolist() == [1, len(ids) - 2]
        for units, ids in zip(batch.units, batch.ids, strict=True)
    )
    assert trainer.objectives["ends"].classes == [6]
    assert records[-1].losses["ends"] < 0.8 * records[0].losses["ends"]


def test_the_recipe_keeps_labelled_sets_and_evaluation_tasks_apart() -> None:
    recipe = load_recipe(Path(__file__).parents[3] / "recipes/muppet.yaml")
    assert recipe.strategy == "muppet"
    assert recipe.decontaminate is not None
    scored = set(recipe.decontaminate.against)
    for name in recipe.families:
        settings = settings_model(name).model_validate(recipe.families[name])
        labelled = {dataset.path for dataset in settings.labelled}
        assert len(labelled) == len(settings.labelled) > 10
        assert not labelled & scored
        assert all(Path(path).is_absolute() for path in labelled)
