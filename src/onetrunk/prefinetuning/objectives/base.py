"""What a stage-1 objective is: a family's batches and its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from onetrunk.config import FamilySettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.data.batching import TokenIds
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling
from onetrunk.processes import Processes


@dataclass(frozen=True)
class Chunk:
    """Some rows of a stage-1 batch after the encoder, padded to the longest of them."""

    rows: list[int]
    """Which rows of the batch these are."""
    states: Tensor
    """``(len(rows), T, D)``"""
    mask: Tensor
    """``(len(rows), T)`` int64, 0 on padding."""


Encode = Callable[[Sequence[TokenIds]], Iterable[Chunk]]
"""Runs token ids through the backbone (with the family's LoRA, if the strategy has one).

A chunk is computed when it is asked for, and the same ids give the same chunks.
"""


class Objective(nn.Module, ABC):
    """A family's stage-1 training: it draws its own batches and computes its own loss.

    Its parameters are the projections that only this loss needs; they are not kept.
    """

    Settings: ClassVar[type[FamilySettings]] = FamilySettings
    """What a recipe may say under ``families.NAME``."""

    @classmethod
    def open(
        cls,
        family: str,
        settings: Any,
        builder: CorpusBuilder,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> Objective:
        """Prepare the sources of ``settings`` and build the objective of ``family`` for a backbone
        that starts as ``encoder``.

        Raises :class:`UserError` if there are no sources, or for a bad one.
        """
        raise NotImplementedError(f"{cls.__name__} is not opened from a recipe")

    @property
    @abstractmethod
    def mixture(self) -> Mixture[Any]:
        """The sources."""

    @abstractmethod
    def draw(self, step: int, rank: int = 0, world: int = 1) -> Any:
        """The batch of one step, a function of the step (and the seed) alone.

        Of several processes, each draws its own part of the same global batch, and counts the
        whole of it.
        """

    @abstractmethod
    def texts(self, batch: Any) -> list[TokenIds]:
        """Token ids of all that goes through the encoder, in the order that chunks number."""

    @abstractmethod
    def parts(self, encode: Encode, batch: Any, processes: Processes) -> Iterator[Tensor]:
        """Scalars whose sum over parts and processes is the loss of the global batch.

        The caller runs ``backward`` on each before it asks for the next, so the graph of one part
        is gone when the next is built. What several parts share (or a cache holds) is detached and
        gets its gradient passed on by the objective when the caller asks for more.
        """

    @abstractmethod
    def report(self) -> dict[str, Any]:
        """What was drawn so far, for the run's record."""
