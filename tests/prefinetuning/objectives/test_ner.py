"""The NER family's stage-1 objective: whole batches against float64 loops, shards and a teacher."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from onetrunk.config import Recipe, load_recipe, parse
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.corpora.store import Prepared
from onetrunk.corpora.tokenised import NerCorpus
from onetrunk.corpora.windows import OUTSIDE, SPECIAL
from onetrunk.data.batching import TokenIds, by_budget, step_rng
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.model.encoder import Encoder
from onetrunk.model.padding import pad
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.objectives import concepts
from onetrunk.prefinetuning.objectives import ner as weak_ner
from onetrunk.prefinetuning.objectives.base import Chunk, Setup
from onetrunk.prefinetuning.objectives.ner import POOL, NerObjective, NerSettings, candidates
from onetrunk.processes import ALONE, Processes

Sentences = Sequence[tuple[Sequence[str], Sequence[str]]]


def source(folder: Path, sentences: Sentences) -> Path:
    folder.mkdir(parents=True)
    words, tags = zip(*sentences, strict=True)
    table = pa.table({"tokens": [*map(list, words)], "ner_tags": [*map(list, tags)]})
    pq.write_table(table, folder / "train.parquet")
    return folder


def objective(
    paths: Sequence[Path], encoder: Encoder, seed: int = 0, **settings: Any
) -> NerObjective:
    shape = {"batch_size": 8, "sources": [{"path": str(path)} for path in paths], **settings}
    parsed = parse(NerSettings, shape, "recipe")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return NerObjective(
            Setup(family("ner"), parsed, CorpusBuilder(encoder.tokenizer), encoder, "mean", seed)
        )


@pytest.fixture
def closed(corpora: Path) -> list[Path]:
    """Two corpora of two concepts each."""
    return [corpora / "pre_ner" / name for name in "ab"]


@pytest.fixture
def open_(tmp_path: Path) -> Path:
    """A corpus of 21 concepts, every sentence with two of them and a word outside."""
    return source(
        tmp_path / "open",
        [(["ann", "met", "mum"], [f"B-k{i % 21}", "O", f"B-k{3 * i % 20}"]) for i in range(60)],
    )


def states_of(batch: Any, width: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(len(ids), width, generator=generator).requires_grad_() for ids in batch.ids]


def stub(states: Sequence[Tensor], budget: int = 30) -> Callable[..., Iterator[Chunk]]:
    """An ``encode`` that gives these states, in chunks of few tokens."""

    def encode(ids: Sequence[TokenIds]) -> Iterator[Chunk]:
        for rows in by_budget([len(row) for row in ids], budget):
            _, mask = pad([ids[row] for row in rows], 0)
            padded = [
                torch.nn.functional.pad(states[row], (0, 0, 0, mask.shape[1] - len(states[row])))
                for row in rows
            ]
            yield Chunk(rows, torch.stack(padded), mask)

    return encode


def running(encoder: Encoder, budget: int = 60) -> Callable[..., Iterator[Chunk]]:
    """An ``encode`` that runs an encoder."""

    def encode(ids: Sequence[TokenIds]) -> Iterator[Chunk]:
        for rows in by_budget([len(row) for row in ids], budget):
            input_ids, mask = pad([ids[row] for row in rows], encoder.tokenizer.pad_token_id)
            yield Chunk(rows, encoder.states(input_ids, mask), mask)

    return encode


def trained_on(
    made: NerObjective, encode: Any, batch: Any, processes: Processes = ALONE
) -> tuple[float, int]:
    """Loss and number of parts, after the backward of each."""
    loss, parts = 0.0, 0
    for part in made.parts(encode, batch, processes):
        part.backward()
        loss += part.item()
        parts += 1
    return loss, parts


def reference(made: NerObjective, batch: Any, states: Sequence[Tensor]) -> float:
    """The mean over real tokens, in float64, one (token, concept) at a time."""
    assert made.concept is not None
    settings = made.settings.concept
    frozen = made._names.rows(np.arange(len(made.concepts))).astype(np.float64)
    around = frozen - frozen.mean(0)
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    scale, bias = math.exp(made.concept.log_scale.item()), made.concept.bias.item()

    def project(linear: torch.nn.Linear, x: np.ndarray) -> np.ndarray:
        y = linear.weight.detach().double().numpy() @ x + linear.bias.detach().double().numpy()
        return y / np.linalg.norm(y)

    names = [project(made.concept.concept_projection, row) for row in frozen]
    total, count = 0.0, 0
    for row, (corpus, window) in enumerate(batch.windows):
        data = made.mixture.corpora[corpus]
        types = [made.concepts.index(concepts.concept_name(name)) for name in data.types]
        open_corpus = len(set(types)) > settings.negatives
        for state, label in zip(states[row].detach(), data.labels(window).tolist(), strict=True):
            if label == SPECIAL:
                continue
            count += 1
            token = project(made.concept.token_projection, state.double().numpy())
            own = None if label == OUTSIDE else types[label]
            for concept in batch.concepts[batch.compared[corpus]].tolist():
                alike = open_corpus and own is not None and concept != own
                if alike and around[concept] @ around[own] > settings.synonyms:
                    continue
                probability = 1 / (1 + math.exp(-(scale * float(token @ names[concept]) + bias)))
                total -= math.log(probability if concept == own else 1 - probability)
    return total / count


def lists(made: NerObjective, step: int, **part: int) -> list[Any]:
    batch = made.draw(step, **part)
    rows = zip(batch.windows, batch.ids, batch.labels, strict=True)
    return [(window, ids.tolist(), labels.tolist()) for window, ids, labels in rows]


# Batches


def test_batches_depend_on_seed_and_step_alone(
    closed: list[Path], open_: Path, tiny_encoder: Encoder
) -> None:
    def make(seed: int = 0) -> NerObjective:
        return objective([*closed, open_], tiny_encoder, seed, concept={"negatives": 4})

    one, other = make(), make()
    one.draw(0)
    assert lists(one, 3) == lists(other, 3)
    assert lists(one, 3) != lists(one, 4)
    assert lists(one, 3) != lists(make(seed=1), 3)
    assert lists(one, 3)[1::3] == lists(other, 3, rank=1, world=3)
    assert one.draw(3).concepts.tolist() == other.draw(3, rank=2, world=3).concepts.tolist()


def test_the_sentences_of_several_steps_are_drawn_together_and_divided_by_length(
    closed: list[Path], tiny_encoder: Encoder
) -> None:
    made = objective(closed, tiny_encoder)
    size = made.settings.batch_size
    for pool in range(2):
        steps = [made.draw(pool * POOL + step) for step in range(POOL)]
        windows = [window for batch in steps for window in batch.windows]
        expected = made.mixture.rows(step_rng(0, pool, "ner pool"), POOL * size)
        assert sorted(windows) == sorted(expected)
        spans = sorted((min(map(len, batch.ids)), max(map(len, batch.ids))) for batch in steps)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert made.mixture.texts == 2 * POOL * size
    assert sum(made.mixture.drawn) == 2 * POOL * size


def test_tokens_meet_only_the_concepts_of_their_corpus(
    closed: list[Path], tiny_encoder: Encoder
) -> None:
    made = objective(closed, tiny_encoder)
    assert made.concepts == ["contact name", "geographical place", "location", "person"]
    batch = made.draw(0)
    assert batch.concepts.tolist() == [0, 1, 2, 3]
    assert batch.compared.tolist() == [[False, False, True, True], [True, True, False, False]]
    for (corpus, _), concept, ids in zip(batch.windows, batch.labels, batch.ids, strict=True):
        assert len(concept) == len(ids)
        assert concept[0] == concept[-1] == SPECIAL
        used = [at for at in concept.tolist() if at >= 0]
        assert used
        assert batch.compared[corpus, used].all()


def test_a_closed_inventory_is_met_whole_and_an_open_one_in_part() -> None:
    inventory = np.arange(5, 1005, 2)
    present = np.array([7, SPECIAL, OUTSIDE, 999, 7])
    for enough in (500, 501, 10**6):
        rng = np.random.default_rng(0)
        assert candidates(inventory, present, enough, rng) is inventory
        assert rng.random() == np.random.default_rng(0).random()  # nothing was drawn
    drawn = candidates(inventory, present, 100, np.random.default_rng(0))
    assert {7, 999} <= set(drawn.tolist()) <= set(inventory.tolist())
    assert len(np.unique(drawn)) == len(drawn) in range(100, 103)
    assert (np.diff(drawn) > 0).all()
    again = candidates(inventory, present, 100, np.random.default_rng(0))
    assert again.tolist() == drawn.tolist()


def test_negatives_are_drawn_evenly() -> None:
    rng = np.random.default_rng(0)
    counts = np.zeros(40)
    for _ in range(2000):
        counts[candidates(np.arange(40), np.array([OUTSIDE]), 10, rng)] += 1
    assert counts.sum() == 20_000
    assert abs(counts - 500).max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


# Losses


@pytest.mark.parametrize("step", range(3))
def test_closed_corpora_equal_a_float64_loop(
    closed: list[Path], tiny_encoder: Encoder, step: int
) -> None:
    made = objective(closed, tiny_encoder)
    batch = made.draw(step)
    states = states_of(batch, tiny_encoder.width)
    loss, parts = trained_on(made, stub(states), batch)
    assert parts > 2
    assert loss == pytest.approx(reference(made, batch, states), rel=1e-5)


def test_enough_negatives_are_all(closed: list[Path], open_: Path, tiny_encoder: Encoder) -> None:
    """From the size of the largest inventory on, the number changes nothing, nor do synonyms."""
    losses = []
    for concept in ({"negatives": 21}, {"negatives": 300, "synonyms": 0.01}):
        made = objective([*closed, open_], tiny_encoder, concept=concept)
        batch = made.draw(1)
        assert batch.concepts.tolist() == list(range(len(made.concepts)))
        states = states_of(batch, tiny_encoder.width)
        losses.append(trained_on(made, stub(states), batch)[0])
        assert losses[-1] == pytest.approx(reference(made, batch, states), rel=1e-5)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("threshold", [0.2, 1.0])
def test_open_corpora_equal_a_float64_loop_over_what_they_meet(
    closed: list[Path], open_: Path, tiny_encoder: Encoder, threshold: float
) -> None:
    concept = {"negatives": 5, "synonyms": threshold}
    made = objective([*closed, open_], tiny_encoder, concept=concept)
    batches = [made.draw(step) for step in range(POOL)]
    batches = [batch for batch in batches if 2 in {corpus for corpus, _ in batch.windows}]
    assert len(batches) > 2
    for batch in batches:
        assert 5 <= batch.compared[2].sum() < 21
        states = states_of(batch, tiny_encoder.width)
        loss, _ = trained_on(made, stub(states), batch)
        assert loss == pytest.approx(reference(made, batch, states), rel=1e-5)


@dataclass
class Names:
    """Name embeddings by hand: all around the origin, "human" and "person" close to each other."""

    of: dict[str, list[float]]
    order: list[str]

    mean = np.zeros(3, np.float32)

    def rows(self, names: np.ndarray) -> np.ndarray:
        return np.array([self.of[self.order[name]] for name in names], np.float32)


@pytest.mark.parametrize("negatives", [2, 3])
def test_synonyms_do_not_push_each_other_in_an_open_corpus(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch, negatives: int
) -> None:
    of = {"human": [0.9, 0.1, 0.0], "person": [0.8, 0.0, 0.1], "city": [-0.5, 0.5, 0.0]}

    def embeddings(encoder: Any, names: list[str], *watched: Any) -> Names:
        return Names({name: [*vector, *[0.0] * 29] for name, vector in of.items()}, names)

    monkeypatch.setattr(Names, "mean", np.zeros(32, np.float32))
    monkeypatch.setattr(weak_ner, "name_embeddings", embeddings)
    words = ["ann", "bob", "paris"] * 4
    kinds = ["B-person", "B-human", "B-city"] * 4
    path = source(tmp_path / "open", [([w], [k]) for w, k in zip(words, kinds, strict=True)])
    made = objective([path], tiny_encoder, concept={"negatives": negatives})
    assert made.concept is not None
    batch = next(b for b in map(made.draw, range(99)) if len(b.concepts) == 3)
    city, human, person = range(3)
    row = next(i for i, own in enumerate(batch.labels) if person in own.tolist())
    batch = replace(
        batch, windows=[batch.windows[row]], ids=[batch.ids[row]], labels=[batch.labels[row]]
    )
    leaf = torch.randn(3, 256, generator=torch.Generator().manual_seed(0)).requires_grad_()
    monkeypatch.setattr(made.concept, "project", lambda names: leaf)
    states = states_of(batch, tiny_encoder.width)
    trained_on(made, stub(states), batch)
    token = torch.nn.functional.normalize(made.concept.token_projection(states[0][1]), dim=0)
    assert leaf.grad is not None
    towards = -(leaf.grad @ token)  # where descent moves each name
    assert towards[person] > 0
    assert towards[city] < 0
    if negatives < 3:
        assert not leaf.grad[human].any()
    else:  # the corpus is closed: it tells the two apart itself
        assert towards[human] < 0


class Whole(Processes):
    """One of several processes, in a batch of so many tokens."""

    def __init__(self, total: float) -> None:
        object.__setattr__(self, "_total", total)

    def total(self, value: float, device: torch.device) -> float:
        assert 0 < value < self._total  # type: ignore[attr-defined]
        return self._total  # type: ignore[attr-defined]


@pytest.mark.parametrize("world", [2, 3])
def test_shards_add_up_to_the_whole(
    closed: list[Path], open_: Path, tiny_encoder: Encoder, world: int
) -> None:
    """Loss and every gradient: also that of tokens against concepts that other shards hold."""
    distill = {"teacher": tiny_encoder.source, "relations": 0.5, "weight": 0.7}
    made = objective(
        [*closed, open_], tiny_encoder, concept={"negatives": 4, "weight": 2.0}, distill=distill
    )
    whole = made.draw(1)
    total = sum(int((concept != SPECIAL).sum()) for concept in whole.labels)
    states = states_of(whole, tiny_encoder.width)

    def gradients(tensors: Sequence[Tensor]) -> list[Tensor]:
        found = []
        for tensor in tensors:
            assert tensor.grad is not None
            found.append(tensor.grad)
            tensor.grad = None
        return found

    leaves = [*states, *made.parameters()]
    want, _ = trained_on(made, stub(states), whole)
    wanted = gradients(leaves)
    got = sum(
        trained_on(
            made, stub(states[rank::world]), made.draw(1, rank=rank, world=world), Whole(total)
        )[0]
        for rank in range(world)
    )
    assert got == pytest.approx(want, rel=1e-5)
    for mine, other in zip(gradients(leaves), wanted, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-6, rtol=1e-4)


# Distillation


@pytest.fixture(scope="module")
def other_teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random RoBERTa: a tokenizer of bytes, another width."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        initial_alphabet=alphabet,
        special_tokens=["<s>", "<pad>", "</s>"],
        show_progress=False,
    )
    backend.train_from_iterator(["ann bob met mum in new york paris"] * 5, trainer)
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    folder = tmp_path_factory.mktemp("teacher")
    PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>").save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=280, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=32, max_position_embeddings=120, pad_token_id=1, type_vocab_size=1,
        initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        RobertaModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """Sentences of up to 30 tokens, a word a token."""
    words = ["call", "mum", "in", "new", "york", "the", "river", "bank", "is", "a", "paris"]
    made = []
    for i in range(12):
        sentence = [words[(i * j + i) % len(words)] for j in range(1, 4 + 2 * i)]
        made.append((sentence, ["B-x", *["O"] * (len(sentence) - 1)]))
    return source(tmp_path / "long", made)


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("match", ["cosine", "mse"])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(
    long: Path, tiny_encoder: Encoder, match: str, cache: bool
) -> None:
    """So every token of every window met its own counterpart."""
    distill = {"teacher": tiny_encoder.source, "loss": match, "relations": 1.0, "cache": cache}
    made = objective([long], tiny_encoder, max_length=12, concept={"weight": 0}, distill=distill)
    assert made.distill is not None
    torch.nn.init.eye_(made.distill.projection.weight)
    torch.nn.init.zeros_(made.distill.projection.bias)
    assert len(made.mixture.corpora[0]) > 20  # windows, of twelve sentences
    for step in range(4):
        batch = made.draw(step)
        loss, parts = trained_on(made, running(tiny_encoder), batch)
        assert parts > 1
        assert loss == pytest.approx(0, abs=1e-5)
    with torch.no_grad():
        made.distill.projection.weight *= -2
    assert trained_on(made, running(tiny_encoder), made.draw(0))[0] > 1.5


@pytest.mark.parametrize("match", ["cosine", "mse"])
def test_another_teacher_live_equals_cached(
    closed: list[Path], long: Path, tiny_encoder: Encoder, other_teacher: str, match: str
) -> None:
    made = [
        objective(
            [*closed, long], tiny_encoder, max_length=16, concept={"weight": 0.0},
            distill={"teacher": other_teacher, "loss": match, "relations": 0.3, "cache": cache},
        )
        for cache in (False, True)
    ]  # fmt: skip
    for step in range(3):
        losses = []
        for one in made:
            batch = one.draw(step)
            losses.append(trained_on(one, running(tiny_encoder), batch)[0])
        assert losses[0] == pytest.approx(losses[1], rel=2e-3)
        assert losses[0] > 0.1
    for one in made:
        assert one.report()["distill"]["teacher"] == other_teacher
        assert len(one.report()["distill"]["teacher_fingerprint"]) == 64


def test_both_losses_are_summed(
    closed: list[Path], tiny_encoder: Encoder, other_teacher: str
) -> None:
    def loss(**weights: float) -> float:
        made = objective(
            closed, tiny_encoder,
            concept={"weight": weights["concept"]},
            distill={"teacher": other_teacher, "weight": weights["distill"]}
            if weights["distill"] else None,
        )  # fmt: skip
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.fill_(0.1)
        batch = made.draw(0)
        return trained_on(made, stub(states_of(batch, tiny_encoder.width)), batch)[0]

    alone = [loss(concept=1, distill=0), loss(concept=0, distill=1)]
    both = loss(concept=0.5, distill=3)
    assert both == pytest.approx(0.5 * alone[0] + 3 * alone[1], rel=1e-5)


def test_distillation_alone_trains_through_a_recipe(
    corpora: Path, tiny_encoder_folder: Any, other_teacher: str
) -> None:
    recipe = Recipe.model_validate(
        {
            "encoder": str(tiny_encoder_folder("bert")),
            "strategy": "ner",
            "steps": 40,
            "k": 2,
            "precision": "fp32",
            "optimizer": {"backbone_lr": 2e-3, "objective_lr": 1e-2},
            "families": {
                "ner": {
                    "batch_size": 8,
                    "concept": {"weight": 0},
                    "distill": {"teacher": other_teacher, "relations": 0.5, "cache": True},
                    "sources": [{"path": str(corpora / "pre_ner" / name)} for name in "ab"],
                }
            },
        }
    )
    trainer, records = Trainer(recipe), []
    before = trainer.encoder.fingerprint()
    assert not any(name.startswith("ner.concept") for name in trainer.objectives.state_dict())
    trainer.run(records.append)
    losses = [record.losses["ner"] for record in records]
    assert sum(losses[-5:]) < sum(losses[:5]) / 2
    assert trainer.encoder.fingerprint() != before


# Settings and scale


def test_a_teacher_may_lie_beside_the_recipe(tmp_path: Path) -> None:
    for teacher, found in (("./big", str(tmp_path / "big")), ("some/encoder", "some/encoder")):
        file = tmp_path / "recipe.yaml"
        families = f"{{ ner: {{ sources: [{{ path: x }}], distill: {{ teacher: {teacher} }} }} }}"
        file.write_text(f"encoder: x\nfamilies: {families}\n")
        ner = parse(NerSettings, load_recipe(file).families["ner"], "recipe")
        assert ner.distill is not None
        assert ner.distill.teacher == found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concept": {"weight": 0}}, "nothing is left to train on"),
        (
            {"distill": {"teacher": "x", "los": "mse"}},
            "unknown key 'distill.los'; did you mean 'lo",
        ),
        ({"distill": {"weight": 1}}, "distill.teacher: field required"),
        ({"concept": {"negative": 9}}, "unknown key 'concept.negative'; did you mean 'negatives'"),
        ({"concept": {"temperature": 0}}, r"concept.temperature: .* greater than 0 \(got 0\)"),
        ({"distill": {"teacher": "./no/such/folder"}}, "no such folder: ./no/such/folder"),
    ],
)
def test_what_a_recipe_may_not_say(
    closed: list[Path], tiny_encoder: Encoder, settings: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        objective(closed, tiny_encoder, **settings)


def test_sources_without_an_entity_can_only_be_distilled(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    path = source(tmp_path / "plain", [(["call", "mum"], ["O", "O"])] * 4)
    with pytest.raises(UserError, match="no source holds an entity"):
        objective([path], tiny_encoder)
    distill = {"teacher": tiny_encoder.source}
    made = objective([path], tiny_encoder, concept={"weight": 0}, distill=distill)
    assert trained_on(made, running(tiny_encoder), made.draw(0))[0] > 0


class Largest(TorchDispatchMode):
    """Notes the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_two_hundred_thousand_concepts_cost_a_batch_nothing(
    tmp_path: Path, tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(encoder: Encoder, names: Sequence[str], notes: Any) -> np.ndarray:
        numbers = np.array([int(name[1:]) for name in names])[:, None]
        return np.sin(numbers * np.arange(1, encoder.width + 1)).astype(np.float32)

    monkeypatch.setattr(concepts, "_embed", embed)  # test_concepts.py is about the real one
    count, words = 200_000, 50
    rows = np.arange(count, dtype=np.int32).reshape(-1, words)
    labels = np.pad(rows, ((0, 0), (1, 1)), constant_values=SPECIAL)
    arrays = {
        "tokens": np.full(labels.size, 7, np.int32),
        "labels": labels.reshape(-1),
        "starts": np.arange(len(labels) + 1) * (words + 2),
    }
    record = {"types": [f"c{i}" for i in range(count)], "rows": len(labels)}
    corpus = NerCorpus("open", Prepared(tmp_path, arrays, record))
    settings, builder = NerSettings(batch_size=8), CorpusBuilder(tiny_encoder.tokenizer)
    monkeypatch.setattr(NerObjective, "prepare", lambda *_: Mixture([corpus], [1.0]))
    made = NerObjective(Setup(family("ner"), settings, builder, tiny_encoder, "mean", 0))
    assert len(made.concepts) == count
    trained_on(made, stub(states_of(made.draw(0), 32)), made.draw(0))
    tracemalloc.start()
    with Largest() as largest:
        for step in range(1, 4):
            batch = made.draw(step)
            assert 256 <= len(batch.concepts) <= 256 + 8 * words
            loss, _ = trained_on(made, stub(states_of(batch, 32), 200), batch)
            assert math.isfinite(loss)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**21  # one byte a concept and a sentence would be 1.6 MB more
    assert largest.numel <= (256 + 8 * words) ** 2  # names against names
