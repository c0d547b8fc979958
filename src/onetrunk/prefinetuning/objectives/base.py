"""What a stage-1 objective is: the batches and the loss of one task family."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from onetrunk.config import FamilySettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.data.batching import TokenIds
from onetrunk.families.base import Family
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling
from onetrunk.processes import Processes


@dataclass(frozen=True)
class Chunk:
    """Some rows of a stage-1 batch after the encoder, padded to the longest of them."""

    rows: list[int]
    """Indices of these rows in the batch."""
    states: Tensor
    """``(len(rows), T, D)`` fp32"""
    mask: Tensor
    """``(len(rows), T)`` int64, 0 on padding."""


Encode = Callable[[Sequence[TokenIds]], Iterable[Chunk]]
"""Runs token ids through the backbone (with the family's LoRA, if the strategy has one).

A chunk is computed when it is asked for. The same ids give the same chunks.
"""


@dataclass(frozen=True)
class Setup:
    """Everything that an objective is built from."""

    family: Family[Any, Any]
    settings: Any
    """An instance of :attr:`Objective.Settings`: what the recipe says about the family."""
    builder: CorpusBuilder
    encoder: Encoder
    """The backbone as it is before stage 1."""
    pooling: Pooling
    seed: int


class Objective(nn.Module, ABC):
    """The stage-1 training of a family: it draws its own batches and computes its own loss.

    Its parameters are projections or heads that only this loss needs. They are thrown away after
    stage 1.
    """

    Settings: ClassVar[type[FamilySettings]] = FamilySettings
    """What a recipe may say under ``families.NAME``."""

    settings: Any
    mixture: Mixture[Any]
    """The sources, and counts of what was drawn from them."""

    def __init__(self, setup: Setup) -> None:
        """Prepare the sources. Raises :class:`UserError` if there are none, or for a bad one."""
        super().__init__()
        self.family, self.settings = setup.family, setup.settings
        self.pooling, self.seed = setup.pooling, setup.seed
        self.mixture = self.prepare(setup.builder)

    @abstractmethod
    def prepare(self, builder: CorpusBuilder) -> Mixture[Any]:
        """Build the corpora from the sources in ``self.settings``."""

    @abstractmethod
    def draw(self, step: int, rank: int = 0, world: int = 1) -> Any:
        """The batch of one step: a function of the step and the seed alone.

        Each of several processes (``world``) draws its own part of the same global batch, and
        counts the whole global batch.
        """

    @abstractmethod
    def texts(self, batch: Any) -> list[TokenIds]:
        """The token ids that go through the encoder. Rows of chunks are indices of this list."""

    @abstractmethod
    def parts(self, encode: Encode, batch: Any, processes: Processes) -> Iterator[Tensor]:
        """Scalars. Their sum over parts and processes is the loss of the global batch.

        The caller runs ``backward`` on each part before it asks for the next, so the graph of one
        part is gone when the next is built. What several parts share, or a cache holds, is
        detached; when the caller asks for more, the objective passes its gradient on.
        """

    def report(self) -> dict[str, Any]:
        """The sources and what was drawn from them so far, for the run's record."""
        return self.mixture.report()
