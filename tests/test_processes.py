from typing import Any

import pytest
import torch

from onetrunk import processes as exchange
from onetrunk.errors import UserError
from onetrunk.processes import ALONE, Processes

CPU = torch.device("cpu")


def rows_of(rank: int) -> torch.Tensor:
    """As many rows as the rank, so the first process has none."""
    return torch.arange(3.0 * rank).reshape(rank, 3) + 10 * rank


def test_alone_nothing_is_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Processes.join("cuda:1") == ALONE
    assert ALONE.first
    tensor = torch.ones(2, 3)
    ALONE.add([tensor])
    assert tensor.sum() == 6
    assert ALONE.gather(tensor) is tensor
    assert ALONE.total(0.5, CPU) == 0.5
    ALONE.wait()
    ALONE.leave()


def test_one_card_for_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="takes a device of its own; pass cuda"):
        Processes.join("cuda:1")


@pytest.mark.parametrize("world", [2, 3])
def test_totals_and_gathered_rows(together: Any, world: int) -> None:
    def work(processes: Processes) -> list[Any]:
        rank = processes.rank
        assert Processes.join() == processes  # joining twice is joining once
        gathered = processes.gather(rows_of(rank))
        whole = processes.gather(torch.arange(rank + 1))
        flags = processes.gather(torch.zeros(0, dtype=torch.bool))
        processes.wait()
        return [rank, processes.first, processes.total(0.1 * rank, CPU), gathered.tolist(),
                whole.tolist(), flags.tolist()]  # fmt: skip

    answers = together(world, work)
    total = sum(0.1 * rank for rank in range(world))
    rows = torch.cat([rows_of(rank) for rank in range(world)]).tolist()
    numbers = [number for rank in range(world) for number in range(rank + 1)]
    for rank, answer in enumerate(answers):
        assert answer == [rank, rank == 0, pytest.approx(total), rows, numbers, []]


@pytest.mark.parametrize("world", [2, 3])
def test_sums_are_whole_and_the_same_everywhere(
    together: Any, monkeypatch: pytest.MonkeyPatch, world: int
) -> None:
    """Over bucket borders, of any shape, and of matrices of which a process has few rows."""
    monkeypatch.setattr(exchange, "BUCKET", 40)
    monkeypatch.setattr(exchange, "TALL", 20)

    def tensors_of(rank: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(rank)
        shapes = [(), (7,), (3, 5), (5, 3), (90,), (19, 2)]
        made = [torch.randn(shape, generator=generator) for shape in shapes]
        made[3] = made[3].T  # not contiguous
        embedding, empty = torch.zeros(25, 4), torch.zeros(20, 2)
        embedding[[rank, 7, 20 + rank]] = torch.randn(3, 4, generator=generator)
        return [*made, embedding, empty]

    def work(processes: Processes) -> list[Any]:
        tensors = tensors_of(processes.rank)
        before = [tensor.data_ptr() for tensor in tensors]
        processes.add(tensors)
        assert [tensor.data_ptr() for tensor in tensors] == before
        return [tensor.numpy() for tensor in tensors]

    answers = together(world, work)
    expected = [sum(parts) for parts in zip(*map(tensors_of, range(world)), strict=True)]
    for answer in answers:
        for found, first, right in zip(answer, answers[0], expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(found), right)
            assert (found == first).all()


def test_a_row_that_is_not_a_number_is_not_lost(
    together: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "TALL", 2)

    def work(processes: Processes) -> list[float]:
        matrix = torch.zeros(3, 1)
        matrix[1] = float("nan") if processes.first else 0.0
        processes.add([matrix])
        return matrix.flatten().tolist()

    for found in together(2, work):
        assert [value == value for value in found] == [True, False, True]


def test_gradients_of_a_replicated_loss_add_up(together: Any) -> None:
    """Own rows get their whole gradient from each process, a shared parameter a share."""

    def loss(rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return ((rows @ rows.T) * scale).exp().sum()

    def leaves(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = 0.1 * torch.randn(rank, 3, generator=torch.Generator().manual_seed(rank))
        return rows.requires_grad_(), torch.tensor(0.7, requires_grad=True)

    def work(processes: Processes) -> list[Any]:
        rows, scale = leaves(processes.rank)
        value = loss(processes.gather(rows), processes.replicated(scale))
        value.backward()
        assert rows.grad is not None
        assert scale.grad is not None
        processes.add([scale.grad])
        return [value.item(), rows.grad.tolist(), scale.grad.item()]

    everyone = [leaves(rank)[0] for rank in range(3)]
    scale = leaves(0)[1]
    value = loss(torch.cat(everyone), scale)
    value.backward()
    for rank, (found, rows, shared) in enumerate(together(3, work)):
        assert found == pytest.approx(value.item(), rel=1e-6)
        torch.testing.assert_close(torch.tensor(rows).view(-1, 3), everyone[rank].grad)
        assert shared == pytest.approx(float(scale.grad), rel=1e-5)  # type: ignore[arg-type]
