"""What a task family is: the head, labels, decoding and metric of its apps.

Methods import PyTorch as they run, and only those that train or run the engine need it. So a device
without it reads labelled rows, scores answers and solves linear heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from onetrunk.data.alignment import Encoded
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Place, Span
from onetrunk.data.sources import Spec
from onetrunk.data.units import Units, units_of
from onetrunk.decoding import DECODERS, Decoder
from onetrunk.errors import UserError, nearest
from onetrunk.losses.head import HeadLoss, cross_entropy
from onetrunk.model.heads import Pooling, pool

if TYPE_CHECKING:
    from torch import Tensor

Example = TypeVar("Example")
Prediction = TypeVar("Prediction")


class Family(ABC, Generic[Example, Prediction]):
    """A task family. One *unit* is what gets one row of logits: a word, or a whole text.

    A family names one of the :data:`~onetrunk.decoding.DECODERS`, and its units, head, decoding and
    JSON follow; its apps can then be exported to bundles. A family that does any of this in a way
    of its own overrides the methods of :attr:`STANDARD`; its apps run in PyTorch alone.
    """

    name: ClassVar[str]
    decoder: ClassVar[str | None] = None
    """How logits become predictions: a name in :data:`~onetrunk.decoding.DECODERS`. None: the
    methods of :attr:`STANDARD` are the family's own, and its apps have no neighbours."""
    metric: ClassVar[str]
    """Key of :meth:`score` that early stopping and tables use."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """All keys of :meth:`score`, to check a choice before the work. Empty: unknown."""
    starts_from: ClassVar[str | None] = None
    """The family whose task-primary LoRA its apps start from, if it is not its own. Such a family
    is another head on the same states and has no stage 1."""
    penalty: ClassVar[float | None] = None
    """Ridge penalty on the standardised linear head; None: chosen by cross-validation."""
    deep_head: ClassVar[bool | None] = None
    """Which states of a token a head reads. True: the input of the last k layers and the output of
    each of them, k + 1 states. False: the last state. None: cross-validation chooses for an app
    without a LoRA; an app with one reads the last state."""

    solved_start: ClassVar[bool] = True
    """Where the head of an app with a LoRA starts. True: solved on the states as they are. False:
    as zeros, which leaves the LoRA more to learn."""

    STANDARD: ClassVar[tuple[str, ...]] = (
        "classes", "units", "gather", "decode", "render", "blend",
    )  # fmt: skip
    """Methods that follow from :attr:`decoder`. A device knows these and no others."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.decoder is not None and cls.decoder not in DECODERS:
            hint = nearest(cls.decoder, DECODERS)
            raise TypeError(f"{cls.__name__}: unknown decoder {cls.decoder!r}; {hint}")

    @property
    def own_methods(self) -> list[str]:
        """The methods of :attr:`STANDARD` that this family overrides."""
        return [
            method
            for method in self.STANDARD
            if getattr(type(self), method) is not getattr(Family, method)
        ]

    @property
    def family_of_primary(self) -> str:
        """Name of the task-primary LoRA that its apps start from."""
        return self.starts_from or self.name

    @property
    def per_word(self) -> bool:
        """Whether units are words; else they are whole texts."""
        return self._decoder.per_word

    @property
    def retrieves(self) -> bool:
        """Whether a head can be blended with the votes of labelled neighbours (:meth:`blend`)."""
        return self.decoder is not None and DECODERS[self.decoder].blend is not None

    # What every family defines

    @abstractmethod
    def read(self, path: Spec, notes: Notes | None = None) -> list[Example]:
        """Labelled examples of a source: its training split, or the split that was located. What
        reading changed or found odd goes into ``notes``."""

    @abstractmethod
    def parse(self, text: str) -> Example:
        """An unlabelled example from raw text."""

    @abstractmethod
    def labels_of(self, example: Example) -> Iterable[str]:
        """The labels of an example; for NER the type of each entity, once for each entity."""

    @abstractmethod
    def targets(self, example: Example, units: Sequence[Span], labels: Sequence[str]) -> np.ndarray:
        """Targets ``(u, …)`` of one example's units: by default int64 ``(u,)``, the class of each
        unit. Of a whole text there is one row, which all its windows share. :attr:`head_loss` takes
        them as they are, :meth:`loss` as a tensor. (A family may also give a tensor here.)"""

    @abstractmethod
    def score(
        self, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> dict[str, float]:
        """Metrics, :attr:`metric` among them: in percent, but ``mae`` in the unit of the labels."""

    # What follows from the decoder

    def classes(self, labels: Sequence[str]) -> int:
        """The number of outputs of a head for these labels."""
        return self._decoder.classes(labels)

    def units(self, example: Example, windows: Sequence[Encoded]) -> Units:
        """The units of an example, and the token at which each window reads each of its own.

        Words are those of :mod:`onetrunk.data.units`. A whole text has one unit in each window, at
        the first token.
        """
        if self.per_word:
            return units_of(self.text(example), windows)
        return Units((), [[0] for _ in windows])

    def gather(
        self, states: Tensor, mask: Tensor, tokens: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """States ``(B, T, D)`` and mask ``(B, T)`` -> head input ``(U, D)``: the states at the
        ``tokens`` of each window, in order; or one pooled vector for each window."""
        if not self.per_word:
            return pool(states, mask, pooling)
        import torch

        places = [(window, token) for window, of_window in enumerate(tokens) for token in of_window]
        index = torch.tensor(places, dtype=torch.int64, device=states.device).view(-1, 2)
        return states[index[:, 0], index[:, 1]]

    def decode(self, logits: Tensor, units: Sequence[Span], labels: Sequence[str]) -> Prediction:
        """One example's logits ``(u, C)``, window after window, and the characters of its units ->
        its prediction."""
        prediction: Prediction = self._decoder.decode(_array(logits), units, labels)
        return prediction

    def render(self, example: Example, prediction: Prediction) -> dict[str, Any]:
        """A prediction as JSON."""
        return self._decoder.render(self.text(example), prediction)

    def blend(self, logits: Tensor, votes: Tensor, share: float) -> Tensor:
        """Logits ``(U, C)`` in which the votes of labelled neighbours ``(U, C)`` have ``share`` and
        the head's answer has the rest. They are computed on the CPU."""
        import torch

        blend = self._decoder.blend
        if blend is None:
            raise NotImplementedError(f"apps of family {self.name!r} have no neighbours")
        return torch.from_numpy(blend(_array(logits), _array(votes), share)).to(logits.device)

    @property
    def _decoder(self) -> Decoder:
        if self.decoder is None:
            raise NotImplementedError(f"task family {self.name!r} names no decoder")
        return DECODERS[self.decoder]

    # What a family may change

    def text(self, example: Example) -> str:
        """What the tokenizer reads: the example's ``text``."""
        row: Any = example
        return str(row.text)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits ``(U, C)``: by default cross-entropy."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets)

    @property
    def head_loss(self) -> HeadLoss:
        """:meth:`loss` and its gradient in numpy, for the solver of linear heads.

        A family with a loss of its own may name one of :mod:`onetrunk.losses.head` here; if it does
        not, PyTorch computes the gradient.
        """
        return cross_entropy if type(self).loss is Family.loss else self._torch_head_loss

    def _torch_head_loss(self, logits: np.ndarray, targets: np.ndarray) -> tuple[float, np.ndarray]:
        import torch

        at = torch.from_numpy(logits).requires_grad_()
        with torch.enable_grad():
            loss = self.loss(at, torch.from_numpy(targets))
        (gradient,) = torch.autograd.grad(loss, at)
        return float(loss.detach()), gradient.numpy()

    def calibrate(
        self, pairs: Iterable[tuple[Example, Tensor]], labels: Sequence[str]
    ) -> Tensor | None:
        """What to add to logits, ``(C,)``, so that decisions are best on validation examples.

        ``pairs`` holds each example with the logits ``(u, C)`` of its units. It can be iterated
        once and is computed only then. By default nothing is added: None.
        """
        return None

    def soft_targets(self, targets: Tensor, classes: int) -> Tensor:
        """Targets ``(U, …)`` as numbers ``(U, C)`` that may be averaged and that :meth:`loss` also
        takes: by default 1 for the class and 0 for all others."""
        from torch.nn.functional import one_hot

        return one_hot(targets, classes).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits in the form of :meth:`soft_targets`: by default the softmax."""
        return logits.softmax(-1)

    def label_set(self, examples: Iterable[Example]) -> list[str]:
        """All labels that occur, sorted."""
        return sorted({label for example in examples for label in self.labels_of(example)})

    def unseen(
        self, examples: Sequence[Example], labels: Sequence[str]
    ) -> Iterator[tuple[int, str]]:
        """Each label that is not among ``labels``, after its row. Rows count from zero."""
        known = set(labels)
        for row, example in enumerate(examples):
            yield from ((row, label) for label in self.labels_of(example) if label not in known)

    def with_known(self, example: Example, labels: Sequence[str]) -> Example:
        """The example as one who knows the labels of training reads it: by default the same."""
        return example

    def check_labels(
        self, examples: Sequence[Example], labels: Sequence[str], place: Place
    ) -> None:
        """Raise :class:`UserError` at the first label that is not among ``labels``; ``place`` says
        where a row is."""
        for row, label in self.unseen(examples, labels):
            raise UserError(
                f"{place(row)}: label {label!r} never occurs in training; {nearest(label, labels)}"
            )

    def check_rows(self, examples: Sequence[Example], place: Place) -> None:
        """Raise :class:`UserError` at the first row that an app of this family cannot use; by
        default all can be used. ``place`` says where a row is."""

    def learnable(self, labels: Sequence[str], examples: Sequence[Example]) -> bool:
        """Whether these rows with these labels have anything to tell apart."""
        return self.classes(labels) > 1


def _array(logits: Tensor) -> np.ndarray:
    array: np.ndarray = logits.detach().float().cpu().numpy()
    return array
