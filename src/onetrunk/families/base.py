"""What a task family is: the head, labels, decoding and metric of its apps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import torch.nn.functional as F
from torch import Tensor

from onetrunk.data.alignment import Encoded
from onetrunk.data.notes import Notes
from onetrunk.data.sources import Spec
from onetrunk.errors import UserError, nearest
from onetrunk.model.heads import Pooling

Example = TypeVar("Example")
Prediction = TypeVar("Prediction")


class Family(ABC, Generic[Example, Prediction]):
    """A task family. One *unit* is what gets one row of logits: a word, or a whole text."""

    name: ClassVar[str]
    metric: ClassVar[str]
    """Key of :meth:`score` that early stopping and tables use."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """All keys of :meth:`score`, for checking a choice before the work; empty: not said."""
    starts_from: ClassVar[str | None] = None
    """The family whose task-primary LoRA its apps start from, if it is not its own: such a family
    is another head on the same states, and has no stage 1."""

    penalty: ClassVar[float | None] = None
    """Ridge penalty on the standardised linear head; None: chosen by cross-validation."""

    retrieves: ClassVar[bool] = False
    """Whether a head can be blended with its neighbours' votes: :meth:`blend`."""

    deep_head: ClassVar[bool | None] = None
    """Whether heads read what enters the top and what leaves each of its layers, or the last states
    alone; None: whichever has the lower loss in cross-validation."""

    @property
    def family_of_primary(self) -> str:
        """Name of the task-primary LoRA that its apps start from."""
        return self.starts_from or self.name

    @abstractmethod
    def read(self, path: Spec, notes: Notes | None = None) -> list[Example]:
        """Labelled examples of a source's training split, or of the split that was located; what
        reading changed or found odd is noted."""

    @abstractmethod
    def parse(self, text: str) -> Example:
        """An unlabelled example from raw text."""

    @abstractmethod
    def text(self, example: Example) -> str:
        """What the tokenizer reads."""

    @abstractmethod
    def labels_of(self, example: Example) -> Iterable[str]:
        """The labels that an example has; for NER the type of each entity, once an entity."""

    @abstractmethod
    def classes(self, labels: Sequence[str]) -> int:
        """Outputs of a head for these labels."""

    @abstractmethod
    def units(self, example: Example, windows: Sequence[Encoded]) -> list[list[int]]:
        """For each window, the token index of each unit: -1 where the unit is not read there.

        A unit that no window reads (the tokenizer deletes its characters) has no row of logits.
        """

    @abstractmethod
    def gather(
        self, states: Tensor, mask: Tensor, units: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """States ``(B, T, D)`` -> head input ``(U, D)``, rows in order, units of -1 left out."""

    @abstractmethod
    def targets(self, example: Example, units: Sequence[int], labels: Sequence[str]) -> Tensor:
        """Targets of one example's units, ``(u, …)``, as :meth:`loss` wants them: by default
        int64 ``(u,)``, the class of each."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits ``(U, C)``: cross-entropy, unless a family says otherwise."""
        return F.cross_entropy(logits, targets)

    def calibrate(
        self, judged: Iterable[tuple[Example, Tensor]], labels: Sequence[str]
    ) -> Tensor | None:
        """What to add to logits, ``(C,)``, so that decisions are best on validation examples, each
        beside its units' logits ``(u, C)``. None: nothing, as it is by default; ``judged`` can be
        gone through once, and is computed only then."""
        return None

    def soft_targets(self, targets: Tensor, classes: int) -> Tensor:
        """Targets ``(U, …)`` as ``(U, C)`` numbers that may be averaged and that :meth:`loss`
        takes, too: by default 1 for the class and 0 for all others."""
        return F.one_hot(targets, classes).float()

    def unit_probabilities(self, logits: Tensor, units: Sequence[int]) -> Tensor:
        """What one example's logits ``(u, C)`` say of all its units, in the form of
        :meth:`soft_targets`, ``(len(units), C)``. Zeros where ``units`` is -1, which no loss comes
        from."""
        found = logits.new_zeros(len(units), logits.shape[1])
        found[[i for i, at in enumerate(units) if at >= 0]] = self.probabilities(logits)
        return found

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits as what :meth:`soft_targets` would be on average: by default probabilities."""
        return logits.softmax(-1)

    def blend(self, logits: Tensor, votes: Tensor, share: float) -> Tensor:
        """Logits of (1 - share) of the head's answer and ``share`` of the votes, all ``(U, C)``."""
        raise NotImplementedError(f"task family {self.name!r} has no retrieval")

    @abstractmethod
    def decode(
        self,
        logits: Tensor,
        example: Example,
        units: Sequence[int],
        labels: Sequence[str],
    ) -> Prediction:
        """One example's logits ``(u, C)``, its windows' one after another -> its prediction.

        ``units`` says which units they are of: -1 where there is no row.
        """

    @abstractmethod
    def score(
        self, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Metrics in percent, :attr:`metric` among them."""

    @abstractmethod
    def render(self, example: Example, prediction: Prediction) -> dict[str, Any]:
        """A prediction as JSON."""

    # Shared by all

    def label_set(self, examples: Iterable[Example]) -> list[str]:
        """All labels that occur, sorted."""
        return sorted({label for example in examples for label in self.labels_of(example)})

    def check_labels(self, examples: Sequence[Example], labels: Sequence[str], where: str) -> None:
        """Raise :class:`UserError` at the first label that is not among ``labels``."""
        known = set(labels)
        for row, example in enumerate(examples, start=1):
            for label in self.labels_of(example):
                if label not in known:
                    raise UserError(
                        f"{where}, row {row}: label {label!r} never occurs in training; "
                        f"{nearest(label, labels)}"
                    )

    def check_rows(self, examples: Sequence[Example], where: str) -> None:
        """Raise :class:`UserError` at the first row that an app of this family cannot use; by
        default all can be."""

    def learnable(self, labels: Sequence[str]) -> bool:
        """Whether rows with these labels have anything to tell apart."""
        return self.classes(labels) > 1
