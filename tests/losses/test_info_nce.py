from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from onetrunk.losses import info_nce as objective
from onetrunk.losses.info_nce import info_nce


def pairs(size: int, seed: int = 0, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    queries = torch.randn(size, 8, generator=generator)
    return queries, queries + noise * torch.randn(size, 8, generator=generator)


def reference(
    queries: Tensor,
    positives: Tensor,
    temperature: float,
    negatives: Tensor | None = None,
    identities: Sequence[int] | None = None,
    symmetric: bool = True,
    dimensions: Sequence[int] = (),
) -> float:
    """The definition in float64, one pair at a time."""
    size, width = queries.shape
    texts = [*queries, *positives, *(queries[:0] if negatives is None else negatives)]
    identities = range(len(texts)) if identities is None else identities
    wholes = []
    for d in {*dimensions, width}:
        cut = [text[:d].double().numpy() for text in texts]
        cut = [row / np.linalg.norm(row) for row in cut]

        def term(anchor: int, right: int, candidates: range, cut: Any = cut) -> float:
            def score(candidate: int) -> float:
                return math.exp(cut[anchor] @ cut[candidate] / temperature)

            own = (identities[anchor], identities[right])
            wrong = [c for c in candidates if c != right and identities[c] not in own]
            return -math.log(score(right) / (score(right) + sum(map(score, wrong))))

        passages, asked = range(size, len(texts)), range(size)
        forward = sum(term(i, size + i, passages) for i in range(size)) / size
        backward = sum(term(size + i, i, asked) for i in range(size)) / size
        wholes.append((forward + backward) / 2 if symmetric else forward)
    return float(np.mean(wholes))


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_equals_a_float64_loop(size: int, temperature: float) -> None:
    queries, positives = pairs(size, seed=size, noise=2.0)
    want = reference(queries, positives, temperature)
    assert float(info_nce(queries, positives, temperature)) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dimensions", [[], [3], [1, 4, 8]])
@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("block", [2, 1024])
def test_every_option_equals_a_float64_loop(
    symmetric: bool,
    dimensions: list[int],
    extra: int,
    repeated: bool,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks of anchors change neither the loss nor its gradient."""
    monkeypatch.setattr(objective, "BLOCK", block)
    queries, positives = pairs(5, noise=2.0)
    negatives = pairs(extra, seed=9)[0] if extra else None
    # 6 is two queries, 1 a query and a positive, 0 and 2 are negatives too.
    identities = [0, 1, 6, 6, 4, 5, 7, 1, 8, 2, 2, 0, 11, 12, 9][: 10 + extra]
    options: dict[str, Any] = {"symmetric": symmetric, "dimensions": dimensions}
    leaves = [x.double().requires_grad_() for x in (queries, positives)]
    loss = info_nce(
        *leaves, 0.3, None if negatives is None else negatives.double(), **options,
        identities=torch.tensor(identities) if repeated else None,
    )  # fmt: skip
    want = reference(
        queries, positives, 0.3, negatives, identities if repeated else None, **options
    )
    assert float(loss.detach()) == pytest.approx(want, abs=1e-9)
    loss.backward()
    for side, at in ((0, (3, 1)), (1, (2, 5))):
        losses = []
        for step in (1e-6, -1e-6):
            moved = [leaf.detach().clone() for leaf in leaves]
            moved[side][at] += step
            losses.append(
                reference(*moved, 0.3, negatives, identities if repeated else None, **options)
            )
        gradient = leaves[side].grad
        assert gradient is not None
        assert float(gradient[at]) == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-6)


def test_a_text_is_no_negative_for_itself_nor_for_its_partner() -> None:
    queries, positives = pairs(4, noise=2.0)
    alone = info_nce(queries, positives, 0.2)
    # A negative that is query 0, or its positive, still counts against the others.
    for same in (0, 4):
        negative = (queries if same == 0 else positives)[:1]
        identities = torch.tensor([*range(8), same])
        loss = info_nce(queries, positives, 0.2, negative, identities=identities)
        unmasked = info_nce(queries, positives, 0.2, negative)
        assert alone < loss < unmasked
    # Where all candidates are one text there is nothing to choose between.
    ones = torch.zeros(8, dtype=torch.int64)
    assert float(info_nce(queries, positives, 0.2, identities=ones)) == pytest.approx(0, abs=1e-6)


def test_the_gradient_of_a_temperature() -> None:
    queries, positives = (x.double() for x in pairs(6, noise=2.0))
    log_scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    info_nce(queries, positives, (-log_scale).exp(), dimensions=[4]).backward()
    losses = [
        reference(queries, positives, math.exp(-1.5 - step), dimensions=[4])
        for step in (1e-5, -1e-5)
    ]
    assert log_scale.grad is not None
    assert float(log_scale.grad) == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-7)


def test_memory_for_a_gradient_grows_with_the_batch_not_its_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objective, "BLOCK", 16)

    def kept(size: int) -> int:
        """Bytes that the graph holds."""
        storages: dict[int, torch.UntypedStorage] = {}

        def pack(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        queries, positives = (x.requires_grad_() for x in pairs(size))
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = info_nce(queries, positives, 0.1)
        assert loss.requires_grad
        return sum(storage.nbytes() for storage in storages.values())

    assert kept(512) < 4.2 * kept(128)


def test_order_of_the_pairs_changes_nothing_but_their_partners_do() -> None:
    queries, positives = pairs(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = info_nce(queries, positives, 0.1)
    assert info_nce(queries[order], positives[order], 0.1) == pytest.approx(float(loss), abs=1e-6)
    assert info_nce(queries[order], positives, 0.1) > loss + 1


def test_both_directions_count_alike() -> None:
    queries, positives = pairs(6, noise=2.0)
    forward, backward = info_nce(queries, positives, 0.1), info_nce(positives, queries, 0.1)
    assert float(forward) == pytest.approx(float(backward), abs=1e-6)


def test_length_of_the_vectors_changes_nothing() -> None:
    queries, positives = pairs(5)
    loss = info_nce(queries, positives, 0.1)
    scaled = info_nce(queries * 7, positives * torch.arange(1, 6)[:, None], 0.1)
    assert float(scaled) == pytest.approx(float(loss), abs=1e-5)


def test_limits() -> None:
    same = torch.ones(4, 8)
    assert float(info_nce(same, same, 0.05)) == pytest.approx(math.log(4), abs=1e-5)
    apart = torch.eye(4)
    assert float(info_nce(apart, apart, 0.05)) == pytest.approx(0, abs=1e-6)
    assert float(info_nce(apart, -apart, 0.05)) > 10


def test_a_lower_temperature_rewards_right_pairs_and_punishes_wrong_ones() -> None:
    queries, positives = pairs(6, noise=0.2)
    wrong = positives.roll(1, 0)
    temperatures = (1.0, 0.3, 0.1, 0.05)
    right_losses = [float(info_nce(queries, positives, t)) for t in temperatures]
    wrong_losses = [float(info_nce(queries, wrong, t)) for t in temperatures]
    assert right_losses == sorted(right_losses, reverse=True)
    assert wrong_losses == sorted(wrong_losses)


def test_a_lower_temperature_puts_more_of_the_gradient_on_the_hardest_negative() -> None:
    query = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    shares = []
    for temperature in (1.0, 0.2):
        # Of the first query's negatives, row 1 is close to it and row 2 is not.
        positives = torch.tensor([[1.0, 0.2, 0.0], [0.8, 0.6, 0.0], [-0.8, 0.6, 0.0]])
        positives.requires_grad_()
        logits_loss = info_nce(query, positives, temperature)
        logits_loss.backward()
        hard, easy = positives.grad[1].norm(), positives.grad[2].norm()
        shares.append(float(hard / (hard + easy)))
    assert shares[1] > shares[0]


def test_gradient_pulls_pairs_together() -> None:
    queries, positives = pairs(6, noise=2.0)
    queries.requires_grad_()
    before = info_nce(queries, positives, 0.1)
    before.backward()
    after = info_nce(queries.detach() - 0.05 * queries.grad, positives, 0.1)
    assert after < before
