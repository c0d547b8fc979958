"""The processes of a data-parallel run: one, unless a launcher such as torchrun starts several."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from onetrunk.errors import UserError

# Numbers in a bucket, in which gradients are exchanged: few calls, and little extra memory.
BUCKET = 8 * 2**20
# From this number of rows on, only rows with a gradient are exchanged. Token embeddings alone have
# as many rows, and a batch contains few of the tokens.
TALL = 10_000
# How long to wait for the others. Machines may prepare the same corpora at different speeds.
PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class Processes:
    """The rank of this process among ``world`` processes, and its exchange with the others.

    A process that runs alone exchanges nothing.
    """

    rank: int = 0
    world: int = 1

    @classmethod
    def join(cls, device: str = "cpu") -> Processes:
        """Join the group that a launcher's environment describes; without one, run alone.

        From here on ``cuda`` means this process's own card. Raises :class:`UserError` if ``device``
        names one card, which all processes would share.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        if ":" in device:
            raise UserError(
                f"device {device!r}: each of several processes takes a device of its own; "
                f"pass {device.split(':')[0]}"
            )
        from accelerate import PartialState

        state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
        return cls(state.process_index, state.num_processes)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.rank == 0

    def total(self, value: float, device: torch.device) -> float:
        """The sum of a number over all processes."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(tensor)
        return float(tensor)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in place.

        Of a matrix with very many rows, only those are exchanged that are not zero everywhere.
        """
        if self.world == 1:
            return
        for matrix in filter(_tall, tensors):
            used = (matrix != 0).any(1).to(torch.uint8)
            dist.all_reduce(used, dist.ReduceOp.MAX)
            rows = used.nonzero().squeeze(1)
            sums = matrix[rows]
            dist.all_reduce(sums)
            matrix[rows] = sums
        for bucket in _buckets([tensor for tensor in tensors if not _tall(tensor)]):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def gather(self, rows: Tensor) -> Tensor:
        """The rows ``(n, ...)`` of all processes, process after process: ``(N, ...)``, any dtype.

        Gradients flow only into this process's own rows. If every process computes the same loss
        of all rows, the sum of the processes' gradients is therefore the gradient of that loss.
        """
        if self.world == 1:
            return rows
        count = torch.tensor(len(rows), device=rows.device)
        counts = [torch.zeros_like(count) for _ in range(self.world)]
        dist.all_gather(counts, count)
        longest = int(torch.stack(counts).max())
        padded = rows.detach().new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows.detach()
        gathered = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(gathered, padded)
        parts = [part[: int(n)] for part, n in zip(gathered, counts, strict=True)]
        parts[self.rank] = rows
        return torch.cat(parts)

    def replicated(self, value: Tensor) -> Tensor:
        """A parameter, for a loss that every process computes in full.

        Its gradient is divided by the number of processes, so that their sum counts it once.
        """
        return value / self.world + (value - value / self.world).detach()

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.world > 1:
            dist.barrier()

    def leave(self) -> None:
        """Leave the group at the end of the program. Nothing can be exchanged after it."""
        if self.world > 1:
            dist.destroy_process_group()


ALONE = Processes()


def _tall(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and len(tensor) >= TALL


def _buckets(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    buckets: list[list[Tensor]] = []
    left = 0
    for tensor in tensors:
        if tensor.numel() > left:
            buckets.append([])
            left = max(BUCKET, tensor.numel())
        buckets[-1].append(tensor)
        left -= tensor.numel()
    return buckets
