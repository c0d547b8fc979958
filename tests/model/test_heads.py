from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from onetrunk.errors import UserError
from onetrunk.model.heads import HEAD, load_head, pool, save_head


def batch(seed: int, lengths: list[int], width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states = 10 * torch.randn(len(lengths), max(lengths), width, generator=generator)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for row, length in enumerate(lengths):
        mask[row, :length] = 1
    return states, mask


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lengths", [[5, 1, 3], [2], [4, 4]])
def test_mean_pooling_equals_a_float64_loop(seed: int, lengths: list[int]) -> None:
    states, mask = batch(seed, lengths)
    want = []
    for row, length in enumerate(lengths):
        total = np.zeros(states.shape[-1])
        for token in range(length):
            total += states[row, token].double().numpy()
        want.append(total / length)
    np.testing.assert_allclose(pool(states, mask).numpy(), np.array(want), atol=1e-5)


def test_mean_pooling_never_sees_padding() -> None:
    states, mask = batch(0, [5, 2, 3])
    before = pool(states, mask)
    states[mask == 0] = 1e6
    assert torch.equal(pool(states, mask), before)
    states[0, 4] += 1  # a real token counts
    assert not torch.equal(pool(states, mask), before)


def test_cls_takes_the_first_token() -> None:
    states, mask = batch(0, [5, 2])
    assert torch.equal(pool(states, mask, "cls"), states[:, 0])


def test_head_round_trip_is_exact_and_frozen(tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = nn.Linear(6, 3)
    save_head(head, tmp_path)
    again = load_head(tmp_path, 3, 6)
    x = torch.randn(4, 6)
    assert torch.equal(again(x), head(x))
    assert not again.weight.requires_grad
    assert not again.bias.requires_grad


def test_a_missing_head_is_an_error_never_a_random_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"has no {HEAD}; refusing to use a random head"):
        load_head(tmp_path, 3, 6)


def test_a_damaged_head_is_an_error(tmp_path: Path) -> None:
    save_head(nn.Linear(6, 3), tmp_path)
    file = tmp_path / HEAD
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match=rf"{HEAD} is damaged"):
        load_head(tmp_path, 3, 6)


@pytest.mark.parametrize(("classes", "width"), [(4, 6), (3, 5), (6, 3)])
def test_a_head_of_another_shape_is_an_error(tmp_path: Path, classes: int, width: int) -> None:
    save_head(nn.Linear(6, 3), tmp_path)
    with pytest.raises(UserError, match=r"holds .*\(3, 6\).*expected"):
        load_head(tmp_path, classes, width)


@pytest.mark.parametrize("names", [["weight"], ["weight", "bias", "extra"], ["kernel", "bias"]])
def test_a_head_with_other_tensors_is_an_error(tmp_path: Path, names: list[str]) -> None:
    shapes = {"weight": (3, 6), "kernel": (3, 6), "bias": (3,), "extra": (1,)}
    save_file({name: torch.zeros(shapes[name]) for name in names}, tmp_path / HEAD)
    with pytest.raises(UserError, match="expected weight"):
        load_head(tmp_path, 3, 6)
