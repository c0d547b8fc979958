from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn

from onetrunk.config import Recipe
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.data.batching import TokenIds, by_budget
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.losses.info_nce import info_nce
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import pool
from onetrunk.model.loading import load_encoder
from onetrunk.model.padding import pad
from onetrunk.prefinetuning import loop
from onetrunk.prefinetuning.loop import Trainer
from onetrunk.prefinetuning.objectives.base import Chunk, Setup
from onetrunk.prefinetuning.objectives.pairs import PairObjective, PairSettings, _PairBatch
from onetrunk.processes import ALONE, Processes

MakeFolder = Any


def objective(sources: list[Path], encoder: Encoder, **changes: Any) -> PairObjective:
    data = {"sources": [{"path": str(p)} for p in sources], "batch_size": 8, **changes}
    settings = PairSettings.model_validate(data)
    builder = CorpusBuilder(encoder.tokenizer)
    return PairObjective(Setup(family("tc"), settings, builder, encoder, "mean", 0))


def lists(batch: _PairBatch) -> list[list[list[int]]]:
    sides = asdict(batch)
    return [[text.tolist() for text in sides[n]] for n in ("queries", "positives", "negatives")]


def write(folder: Path, columns: dict[str, list[Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / "train.parquet")
    return folder


def read_back(encoder: Encoder, texts: Sequence[TokenIds]) -> list[str]:
    return [encoder.tokenizer.decode(text, skip_special_tokens=True) for text in texts]


# What a batch is


def test_a_batch_is_one_source_and_depends_on_the_step_alone(
    corpora: Path, tiny_encoder: Encoder
) -> None:
    made = objective([corpora / "pre_pairs/c", corpora / "pre_pairs/d"], tiny_encoder)
    letters = []
    for step in range(12):
        batch = made.draw(step)
        assert len(batch.queries) == 8
        assert lists(batch) == lists(made.draw(step))
        parts = [lists(made.draw(step, rank, world=2)) for rank in (0, 1)]
        for side, first, second in zip(lists(batch), *parts, strict=True):
            assert side[0::2] == first
            assert side[1::2] == second
        (letter,) = {text.split()[1][0] for text in read_back(tiny_encoder, batch.queries)}
        letters.append(letter)
    assert set(letters) == {"c", "d"}


def test_no_query_or_positive_occurs_twice_in_a_batch(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    """A duplicate would be its own negative, or its partner's."""
    rows = range(30)
    queries, positives = [f"call {i % 3}" for i in rows], [f"met {i}" for i in rows]
    write(tmp_path / "a", {"query": queries, "positive": positives})
    write(tmp_path / "b", {"query": positives, "positive": queries})
    write(tmp_path / "c", {"query": ["call 1", "call 2"], "positive": ["call 2", "met"]})
    for name, most in (("a", 3), ("b", 3), ("c", 1)):
        batch = objective([tmp_path / name], tiny_encoder, batch_size=16).draw(0)
        texts = [*map(tuple, batch.queries), *map(tuple, batch.positives)]
        assert len(set(texts)) == len(texts)
        assert 1 <= len(batch.queries) <= most


def test_texts_that_the_encoder_cannot_tell_apart_are_one(
    tmp_path: Path, tiny_encoder: Encoder
) -> None:
    """Case is lost to an uncased tokenizer, and so is all beyond max_length."""
    queries = ["Call mum", "call MUM", "call " * 70 + "a", "call " * 70 + "b"]
    write(tmp_path, {"query": queries, "positive": [f"met {i}" for i in range(4)]})
    for prefixes in ({}, {"query_prefix": "new: "}):
        made = objective([tmp_path], tiny_encoder, **prefixes)
        assert len(made.draw(0).queries) == 2
        assert made.report()["truncated_share"] == 0.25  # of two queries and their positives


@pytest.mark.parametrize("prefix", ["", "new: "])
def test_nor_are_texts_apart_of_which_one_just_fits(
    tmp_path: Path, tiny_encoder: Encoder, prefix: str
) -> None:
    fits = "a b c d e f" if prefix else "a b c d e f g h"
    write(tmp_path, {"query": [fits, f"{fits} i", fits[:-1] + "x"], "positive": ["1", "2", "3"]})
    made = objective([tmp_path], tiny_encoder, max_length=10, query_prefix=prefix)
    texts = [tuple(text) for text in made.draw(0).queries]
    assert len(texts) == len(set(texts)) == 2


def test_explicit_negatives_come_along_and_may_recur(tmp_path: Path, tiny_encoder: Encoder) -> None:
    columns = {
        "query": ["call a", "call b", "call c"],
        "positive": ["met a", "met b", "met c"],
        "negatives": [["play a", "play x"], [], ["play x", "met a"]],
    }
    batch = objective([write(tmp_path, columns)], tiny_encoder).draw(0)
    assert sorted(read_back(tiny_encoder, batch.negatives)) == [
        "met a", "play a", "play x", "play x",
    ]  # fmt: skip
    assert len(batch.identities) == 10
    assert len(set(batch.identities.tolist())) == 8


def test_prefixes_change_tokens_but_not_identities(tmp_path: Path, tiny_encoder: Encoder) -> None:
    columns = {
        "query": ["call a", "met b", "call c"],
        "positive": ["met a", "call c", "play"],
        "negatives": [["call a"], [], ["met a"]],
    }
    write(tmp_path, columns)
    corpora = {}
    for prefixes in (("", ""), ("mum: ", "new york: ")):
        given = dict(zip(("query_prefix", "passage_prefix"), prefixes, strict=True))
        made = objective([tmp_path], tiny_encoder, **given)
        (corpora[prefixes],) = made.mixture.corpora
        report = made.report()
        assert (report["query_prefix"], report["passage_prefix"]) == prefixes
        # "call c" is a query and another pair's positive: one of the two is passed over.
        assert len(made.draw(0).queries) == 2
    bare, prefixed = corpora.values()
    for pair in range(3):
        texts = list(bare.texts(pair))
        assert texts == list(prefixed.texts(pair))
        whole = read_back(tiny_encoder, [bare.tokens(text) for text in texts])
        longer = read_back(tiny_encoder, [prefixed.tokens(text) for text in texts])
        assert longer == [f"mum : {whole[0]}", *(f"new york : {text}" for text in whole[1:])]
    for corpus in corpora.values():
        texts = [text for pair in range(3) for text in corpus.texts(pair)]
        known = read_back(tiny_encoder, [bare.tokens(text) for text in texts])
        assert len({(corpus.identity(i), text) for i, text in zip(texts, known, strict=True)}) == 5
        assert len({corpus.identity(i) for i in texts}) == 5


def test_a_prefix_needs_room(tmp_path: Path, tiny_encoder: Encoder) -> None:
    write(tmp_path, {"query": ["call a", "b"], "positive": ["met a", "c"]})
    options = {"max_length": 8, "query_prefix": "a b c d e f "}
    with pytest.raises(UserError, match="'a b c d e f ' and '': 6 tokens of max_length = 8 leave"):
        objective([tmp_path], tiny_encoder, **options)
    made = objective([tmp_path], tiny_encoder, max_length=9, query_prefix="a b c d e f ")
    assert {text.tolist()[7] for text in made.draw(0).queries} == set(
        tiny_encoder.tokenizer.convert_tokens_to_ids(["call", "b"])
    )


def test_bad_sources_and_settings(corpora: Path, tmp_path: Path, tiny_encoder: Encoder) -> None:
    source = corpora / "pre_pairs/c"
    one = write(tmp_path / "one", {"query": ["a"], "positive": ["b"]})
    with pytest.raises(UserError, match="has one row: a batch needs two"):
        objective([one], tiny_encoder)
    with pytest.raises(UserError, match="two sources are called 'c'"):
        objective([source] * 2, tiny_encoder)
    with pytest.raises(UserError, match=r"families\.tc\.dimensions: 33 is not .* width, 1 … 32"):
        objective([source], tiny_encoder, dimensions=[8, 33])
    with pytest.raises(UserError, match=r"families\.tc\.temperature: 0\.005 is not within 0\.01"):
        objective([source], tiny_encoder, temperature=0.005, learn_temperature=True)
    objective([source], tiny_encoder, temperature=0.005)


# What its gradient is


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Pairs of many lengths, half of them with negatives, some of which recur or are false."""
    rng = random.Random(0)

    def text(i: int) -> str:
        return f"{i} " + " ".join(rng.choices(["call", "mum", "new", "york"], k=rng.randint(0, 12)))

    queries, positives = [text(i) for i in range(16)], [text(100 + i) for i in range(16)]
    negatives = [[queries[i], positives[i - 1], text(200)] if i % 2 else [] for i in range(16)]
    columns = {"query": queries, "positive": positives, "negatives": negatives}
    return write(tmp_path / "mixed", columns)


def encode_with(encoder: Encoder) -> Any:
    """The encoder as the trainer runs it, in chunks of at most 24 tokens."""

    def encode(ids: Sequence[TokenIds]) -> Iterator[Chunk]:
        for rows in by_budget([len(row) for row in ids], 24):
            input_ids, mask = pad([ids[row] for row in rows], encoder.tokenizer.pad_token_id)
            yield Chunk(rows, encoder.states(input_ids, mask), mask)

    return encode


def gradients(*modules: nn.Module) -> dict[str, Tensor]:
    return {
        f"{i} {name}": parameter.grad
        for i, module in enumerate(modules)
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }


def differentiated(
    made: PairObjective, encoder: Encoder, batch: _PairBatch, processes: Processes = ALONE
) -> tuple[float, dict[str, Tensor]]:
    """Loss and all gradients of half the loss, as the trainer takes them."""
    total = 0.0
    for part in made.parts(encode_with(encoder), batch, processes):
        (0.5 * part).backward()
        total += float(part.detach())
    return total, gradients(made, encoder.model)


def same(found: dict[str, Tensor], wanted: dict[str, Tensor], atol: float = 1e-6) -> None:
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=atol, rtol=1e-5, msg=name)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("budget", [0, 1, 60, 200, 10**6])
def test_cached_gradients_are_the_plain_ones(
    mixed: Path, tiny_encoder: Encoder, budget: int, dropout: float
) -> None:
    options: dict[str, Any] = {"temperature": 0.5, "learn_temperature": True, "dimensions": [8]}
    made = objective([mixed], tiny_encoder, batch_size=12, graph_tokens=budget, **options)
    loop._train_mode(tiny_encoder, dropout)
    batch = made.draw(0)
    assert sum(map(len, made.texts(batch))) > 200
    assert batch.negatives

    torch.manual_seed(1)
    chunks = list(encode_with(tiny_encoder)(made.texts(batch)))
    order = torch.tensor([row for chunk in chunks for row in chunk.rows])
    embedded = torch.cat([pool(chunk.states, chunk.mask) for chunk in chunks])[order.argsort()]
    size = len(batch.queries)
    want = info_nce(
        embedded[:size], embedded[size : 2 * size], (-made.log_scale).exp(), embedded[2 * size :],
        identities=torch.from_numpy(batch.identities), dimensions=[8],
    )  # fmt: skip
    (0.5 * want).backward()
    wanted = gradients(made, tiny_encoder.model)
    assert "0 log_scale" in wanted
    made.zero_grad()
    tiny_encoder.model.zero_grad()

    torch.manual_seed(1)
    loss, found = differentiated(made, tiny_encoder, batch)
    assert loss == pytest.approx(float(want.detach()), abs=1e-6)
    same(found, wanted)


@dataclass
class Exchange:
    """What two threads that play two processes give each other."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=20))
    given: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Playing(Processes):
    exchange: Exchange = field(default_factory=Exchange)

    def gather(self, rows: Tensor) -> Tensor:
        self.exchange.given[self.rank] = rows.detach()
        self.exchange.barrier.wait()
        everyone = dict(self.exchange.given) | {self.rank: rows}
        self.exchange.barrier.wait()
        return torch.cat([everyone[rank] for rank in range(self.world)])


@pytest.mark.parametrize("size", [1, 9])
def test_two_processes_have_the_gradient_of_one(
    mixed: Path, tiny_encoder_folder: MakeFolder, size: int
) -> None:
    """Negatives and their masks reach across; of one pair, one process has none."""
    options: dict[str, Any] = {"learn_temperature": True, "graph_tokens": 40, "batch_size": 9}

    def fresh() -> tuple[PairObjective, Encoder]:
        encoder = load_encoder(str(tiny_encoder_folder("bert")))
        return objective([mixed], encoder, **options), encoder

    def cut(batch: _PairBatch, rows: slice) -> _PairBatch:
        """Some pairs of a batch; negatives as they come, three a pair."""
        n, extra = len(batch.queries), slice(3 * (rows.start or 0), 3 * rows.stop)
        ids = batch.identities
        identities = [ids[:n][rows], ids[n : 2 * n][rows], ids[2 * n :][extra]]
        return _PairBatch(
            batch.queries[rows], batch.positives[rows], batch.negatives[extra],
            torch.cat([torch.from_numpy(part) for part in identities]).numpy(),
        )  # fmt: skip

    made, encoder = fresh()
    batch = cut(made.draw(0), slice(0, size))
    assert len(batch.negatives) >= 3 * (size > 1)
    loss, wanted = differentiated(made, encoder, batch)
    middle, exchange = size // 2 + 1, Exchange()
    halves = [cut(batch, slice(0, middle)), cut(batch, slice(middle, size))]
    found: dict[int, tuple[float, dict[str, Tensor]]] = {}

    def work(rank: int) -> None:
        found[rank] = differentiated(*players[rank], halves[rank], Playing(rank, 2, exchange))

    players = [fresh(), fresh()]
    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0][0] + found[1][0] == pytest.approx(loss, abs=1e-5)
    summed = {
        name: found[0][1].get(name, torch.zeros(())) + found[1][1].get(name, torch.zeros(()))
        for name in wanted
    }
    same(summed, wanted, atol=2e-6)


def test_a_learned_temperature_moves_and_stays_within_bounds(
    mixed: Path, tiny_encoder: Encoder
) -> None:
    made = objective([mixed], tiny_encoder, temperature=0.9, learn_temperature=True)
    assert isinstance(made.log_scale, nn.Parameter)
    with torch.no_grad():
        made.log_scale.fill_(-3.0)
    for low, high, pushed in ((0.9999, 1.0001, 9.0), (0.0099, 0.0101, 0.0)):
        differentiated(made, tiny_encoder, made.draw(0))
        assert low <= made.report()["temperature"] <= high
        assert made.log_scale.grad is not None
        assert float(made.log_scale.grad) != 0  # at a bound it can still turn back
        with torch.no_grad():
            made.log_scale.fill_(pushed)
    fixed = objective([mixed], tiny_encoder, temperature=0.005)
    differentiated(fixed, tiny_encoder, fixed.draw(0))
    assert list(fixed.parameters()) == []
    assert fixed.report()["temperature"] == 0.005


def test_options_reach_the_loss(mixed: Path, tiny_encoder: Encoder) -> None:
    loop._train_mode(tiny_encoder, 0.0)
    losses = {
        name: differentiated(made, tiny_encoder, made.draw(0))[0]
        for name, options in {
            "default": {},
            "one direction": {"symmetric": False},
            "matryoshka": {"dimensions": [4]},
            "temperature": {"temperature": 0.2},
            "prefix": {"query_prefix": "new york "},
        }.items()
        if (made := objective([mixed], tiny_encoder, **options))
    }
    assert len({round(loss, 4) for loss in losses.values()}) == len(losses)
    assert all(math.isfinite(loss) for loss in losses.values())


# Through the trainer


def make_recipe(corpora: Path, encoder: str, graph_tokens: int, **changes: Any) -> Recipe:
    data: dict[str, Any] = {
        "encoder": encoder,
        "steps": 1,
        "k": 2,
        "lora": {"rank": 4, "alpha": 8},
        "precision": "fp32",
        "strategy": "tpl",
        "optimizer": {"clip": 1e9, "warmup": 0},
        "families": {
            "ner": {"batch_size": 4, "sources": [{"path": str(corpora / "pre_ner/a")}]},
            "tc": {
                "batch_size": 20,
                "weight": 0.5,
                "graph_tokens": graph_tokens,
                "learn_temperature": True,
                "sources": [{"path": str(corpora / "pre_pairs/c")}],
            },
        },
    }
    return Recipe.model_validate(data | changes)


@pytest.mark.parametrize(
    "changes", [{}, {"dropout": 0.2}, {"precision": "bf16"}, {"strategy": "frozen"}]
)
def test_a_step_with_cached_gradients_gives_the_weights_of_a_step_without(
    corpora: Path,
    tiny_encoder_folder: MakeFolder,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
) -> None:
    monkeypatch.setitem(loop.CHUNK_TOKENS, "cpu", 32)
    folder = str(tiny_encoder_folder("bert"))
    plain, cached = (Trainer(make_recipe(corpora, folder, n, **changes)) for n in (8192, 50))
    records: list[loop.StepRecord] = []
    for trainer in (plain, cached):
        torch.manual_seed(5)
        trainer.run(records.append)
    assert float(gradients(plain.objectives)["0 tc.log_scale"]) != 0
    found, wanted = (
        nn.ModuleList([trainer.encoder.model, trainer.objectives, trainer.stack or nn.Identity()])
        for trainer in (cached, plain)
    )
    same(gradients(found), gradients(wanted))
    same(dict(found.named_parameters()), dict(wanted.named_parameters()), atol=1e-5)
