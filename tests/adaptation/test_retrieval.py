"""Neighbours: against a loop and scikit-learn, chosen where they help, on disk, in the engine."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.linear import solve_linear
from onetrunk.adaptation.retrieval import choose, cross_judges, judge
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import load_app, save_app
from onetrunk.apps.engine import Engine
from onetrunk.apps.neighbours import NEIGHBOURS, Neighbours
from onetrunk.data.rows import LabelledText
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.model.backbone import Backbone
from onetrunk.model.heads import linear_head
from onetrunk.storage import read_json, write_json


def some(rows: int, width: int, seed: int) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["tc", "multi-label", "rating"])
def test_votes_and_blend_equal_a_loop(name: str) -> None:
    kind, states, asked = family(name), some(30, 8, 0), some(5, 8, 1)
    classes = 1 if name == "rating" else 4
    targets = {
        "tc": torch.arange(30) % 4,
        "multi-label": (some(30, 4, 2) > 0).float(),
        "rating": some(30, 1, 2).sigmoid(),
    }[name]
    found = Neighbours.of(states, kind.soft_targets(targets, classes), 7, 0.1, 0.4)
    logits = some(5, classes, 3)
    blended = kind.blend(logits, torch.from_numpy(found.votes(asked)), found.share)
    for row in range(5):
        query = asked[row].double() / asked[row].double().norm()
        cosines = [float(query.numpy() @ key.astype(np.float64)) for key in found.keys]
        nearest = sorted(range(30), key=lambda at: -cosines[at])[:7]
        total = sum(math.exp(cosines[at] / 0.1) for at in nearest)
        votes = np.zeros(classes)
        for at in nearest:
            weight = math.exp(cosines[at] / 0.1) / total
            if name == "tc":
                votes[int(targets[at])] += weight
            else:
                votes += weight * targets[at].numpy()
        head = logits[row].double()
        if name == "tc":
            expected = 0.6 * head.softmax(-1).numpy() + 0.4 * votes
            answer = blended[row].double().softmax(-1).numpy()
        elif name == "multi-label":
            expected = 0.6 * head.sigmoid().numpy() + 0.4 * votes
            answer = blended[row].double().sigmoid().numpy()
        else:
            expected, answer = 0.6 * head.numpy() + 0.4 * votes, blended[row].double().numpy()
        np.testing.assert_allclose(answer, expected, atol=2e-5)


def test_votes_equal_those_of_scikit_learn() -> None:
    states, labels, asked = some(200, 6, 0), torch.arange(200) % 5, some(40, 6, 1)
    found = Neighbours.of(states, family("tc").soft_targets(labels, 5), 9, 0.05, 0.5)
    distances = 1 - found.similarities(asked)
    weigh = lambda distances: np.exp((1 - distances) / 0.05)  # noqa: E731
    knn = KNeighborsClassifier(9, metric="precomputed", weights=weigh)
    expected = knn.fit(np.zeros((200, 200)), labels.numpy()).predict_proba(distances)
    np.testing.assert_allclose(found.votes(asked), expected, atol=1e-5)


def spots(seed: int) -> tuple[Tensor, Tensor]:
    """Eight directions of two labels in turn: no linear head tells them apart."""
    spot = torch.arange(240) % 8
    angle = spot * math.pi / 4
    states = torch.stack([angle.cos(), angle.sin()], 1)
    return states + 0.05 * some(240, 2, seed), spot % 2


def test_neighbours_are_chosen_where_they_help() -> None:
    kind = family("tc")
    states, labels = spots(0)
    groups = list(range(len(states)))
    judges = cross_judges(kind, states, labels, groups, 2, 0.01)
    assert sum(len(targets) for *_, targets in judges) == len(states)
    found = choose(kind, Neighbours.of(states, kind.soft_targets(labels, 2), 1, 1.0, 0.5), judges)
    assert found is not None
    asked, truth = spots(1)
    head = linear_head(
        *map(torch.from_numpy, solve_linear(states.numpy(), labels.numpy(), 2, 0.01))
    )
    blended = kind.blend(head(asked), torch.from_numpy(found.votes(asked)), found.share)
    assert (head(asked).argmax(-1) == truth).float().mean() < 0.8
    assert (blended.argmax(-1) == truth).float().mean() == 1


def test_neighbours_are_left_where_they_do_not_help() -> None:
    """Labels that follow one direction of many, held against the truth itself."""
    kind, states = family("tc"), some(300, 40, 0)
    labels = (states[:, 0] > 0).long()
    perfect = lambda x: torch.stack([-50 * x[:, 0], 50 * x[:, 0]], 1)  # noqa: E731
    everyone = Neighbours.of(states, kind.soft_targets(labels, 2), 1, 1.0, 0.5)
    asked = some(100, 40, 1)
    judges = [judge(perfect, everyone, asked, (asked[:, 0] > 0).long())]
    assert choose(kind, everyone, judges) is None


def test_no_unit_is_judged_by_its_own_fold() -> None:
    kind, states = family("tc"), some(60, 5, 0)
    groups = [at // 3 for at in range(60)]
    for _, cosines, nearest, _ in cross_judges(kind, states, torch.arange(60) % 2, groups, 2, 0.1):
        asked = np.isfinite(cosines)
        assert asked.any()
        assert not (cosines[asked] > 0.999).any()  # itself
        assert len(set(nearest[asked].tolist())) < 60


WORDS = {"call": ["ann", "bob", "mum"], "eat": ["soup", "fish", "bread"], "go": ["paris", "rome"]}


@pytest.fixture
def data() -> Data:
    rows = [LabelledText(f"{verb} {word}", (verb,)) for verb in WORDS for word in WORDS[verb]]
    return Data(sorted(WORDS), rows * 4, rows)


@pytest.mark.parametrize("name", ["tc", "multi-label"])
@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_an_app_with_neighbours(
    data: Data, tiny_backbone: Backbone, tmp_path: Path, adapter: Any, name: str
) -> None:
    kind = family(name)
    # A head held back to almost nothing leaves work for the neighbours.
    settings = AdaptSettings(adapter, epochs=1, l2=100.0, neighbours=True)
    app = fit(tiny_backbone, kind, data, settings)
    assert app.neighbours is not None
    assert len(app.neighbours.keys) == len(data.train)
    (tmp_path / "app").mkdir()
    save_app(app, tiny_backbone, tmp_path / "app")
    loaded = load_app(tmp_path / "app", tiny_backbone)
    states = some(6, app.head_layers * tiny_backbone.encoder.width, 0)
    votes = torch.from_numpy(app.neighbours.votes(states))
    blended = kind.blend(app.head(states), votes, app.neighbours.share)
    expected = blended + torch.from_numpy(app.neighbours.shift)
    assert torch.equal(app.logits(states), expected)
    assert torch.equal(loaded.logits(states), expected)
    engine = Engine(tiny_backbone, {"app": loaded})
    assert engine.score("app", data.validation, "here")[kind.metric] == 100


def test_what_cannot_have_neighbours(corpora: Path, data: Data, tiny_backbone: Backbone) -> None:
    kind = family("ner")
    train = kind.read(corpora / "ner/app/train.parquet")
    settings = AdaptSettings("linear", neighbours=True)
    with pytest.raises(UserError, match="whole texts"):
        fit(tiny_backbone, kind, Data(kind.label_set(train), train), settings)
    data.validation = []
    with pytest.raises(UserError, match="validation rows"):
        fit(tiny_backbone, family("tc"), data, AdaptSettings("lora", neighbours=True))


def unsealed(folder: Path) -> dict[str, Any]:
    record = read_json(folder / "app.json", "an app")
    return {key: value for key, value in record.items() if key not in ("seal", "files")}


def break_keys(folder: Path) -> None:
    write_json(folder / "app.json", unsealed(folder))
    tensors = load_file(folder / NEIGHBOURS)
    save_file(tensors | {"keys": tensors["keys"][:, 1:].contiguous()}, folder / NEIGHBOURS)


def break_columns(folder: Path) -> None:
    write_json(folder / "app.json", unsealed(folder))
    tensors = load_file(folder / NEIGHBOURS)
    save_file(tensors | {"columns": tensors["columns"] + 3}, folder / NEIGHBOURS)


def break_types(folder: Path) -> None:
    write_json(folder / "app.json", unsealed(folder))
    tensors = load_file(folder / NEIGHBOURS)
    save_file(tensors | {"keys": tensors["keys"].float()}, folder / NEIGHBOURS)


def break_bytes(folder: Path) -> None:
    write_json(folder / "app.json", unsealed(folder))
    (folder / NEIGHBOURS).write_bytes(b"broken")


def break_share(folder: Path) -> None:
    record = unsealed(folder)
    write_json(folder / "app.json", record | {"neighbours": record["neighbours"] | {"share": 2}})


def break_count(folder: Path) -> None:
    write_json(folder / "app.json", unsealed(folder) | {"neighbours": {"share": 0.5}})


def lose(folder: Path) -> None:
    (folder / NEIGHBOURS).unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (break_keys, "does not fit 3 outputs"),
        (break_columns, "does not fit 3 outputs"),
        (break_types, "float32"),
        (break_bytes, "damaged"),
        (break_share, "'share': 2"),
        (break_count, "'count'"),
        (lose, f"no {NEIGHBOURS}"),
    ],
)
def test_damaged_neighbours(
    data: Data, tiny_backbone: Backbone, tmp_path: Path, harm: Any, said: str
) -> None:
    settings = AdaptSettings("linear", l2=100.0, neighbours=True)
    save_app(fit(tiny_backbone, family("tc"), data, settings), tiny_backbone, tmp_path)
    harm(tmp_path)
    with pytest.raises(UserError, match=said):
        load_app(tmp_path, tiny_backbone)
