"""The two graphs of a bundle, run by onnxruntime, and what heads read from their states."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from onetrunk.bundle.app import Lora
from onetrunk.bundle.layout import OF_ONE, TOKENIZER, TOP, TRUNK, Bundle
from onetrunk.errors import UserError, is_panic


def session(graph: bytes | str, threads: int, where: str) -> onnxruntime.InferenceSession:
    """A graph, by content or path, ready to run on ``threads`` threads (0: all cores). Raises
    :class:`UserError` if onnxruntime cannot run it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        # Addition fused into the norm takes several times as long as the two operators apart.
        return onnxruntime.InferenceSession(
            graph,
            options,
            ["CPUExecutionProvider"],
            disabled_optimizers=["SkipLayerNormFusion"],
        )
    except Exception as error:  # onnxruntime has no exception class of its own
        raise UserError(f"{where} cannot be used: {str(error).splitlines()[0]}") from None


def input_shapes(graph: onnxruntime.InferenceSession) -> dict[str, list[int | str]]:
    """Shapes of a graph's inputs; dimensions that vary have names."""
    return {node.name: node.shape for node in graph.get_inputs()}


def tokenizer_of(bundle: Bundle) -> Tokenizer:
    """The tokenizer of a bundle. Raises :class:`UserError` if it is none, or reads no text."""
    try:
        tokenizer = Tokenizer.from_buffer(bundle.read(TOKENIZER))
        tokenizer.encode_batch(["a"])
    except UserError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        why = " ".join(str(error).split())[:240]
        raise UserError(f"{bundle.folder / TOKENIZER} cannot be used: {why}") from None
    return tokenizer


class Sessions:
    """Trunk and top of a bundle, on ``threads`` threads (0: all cores). Thread-safe."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._bundle = bundle
        self._trunk, self._top = (
            session(bundle.read(path), threads, str(bundle.folder / path)) for path in (TRUNK, TOP)
        )
        self.shapes = input_shapes(self._top)
        """Of the top (:func:`input_shapes`)."""
        self._entering = [node.name for node in self._trunk.get_outputs()]

    def stack(self, loras: Sequence[Lora]) -> Any:
        """LoRAs as :meth:`states` takes them."""
        return stack_loras(self.shapes, loras)

    def states(
        self,
        ids: Sequence[Sequence[int]],
        tokens: Sequence[Sequence[int]],
        slots: Sequence[int],
        stacked: Any,
        count: int,
    ) -> "States":
        """The last ``count`` states of B windows under G of the stacked LoRAs, to be read at the
        ``tokens`` of each window, or pooled."""
        input_ids = np.full((len(ids), max(map(len, ids))), self._bundle.pad_id, np.int64)
        mask = np.zeros_like(input_ids)
        for number, row in enumerate(ids):
            input_ids[number, : len(row)], mask[number, : len(row)] = row, 1
        (hidden,) = self._trunk.run(None, {"input_ids": input_ids, "attention_mask": mask})
        feeds = {
            "hidden": hidden[None],
            "attention_mask": mask[None],
            "slots": np.array(slots, np.int64),
            **stacked,
        }
        states = self._top.run(names_of_states(self._bundle.k, count), feeds)
        if count > self._bundle.k:
            states = [[hidden] * len(slots), *states]
        return States(states, mask, tokens, self._bundle.pooling)


class SessionsOfOne(Sessions):
    """:class:`Sessions` of graphs that take one text and one LoRA at a time."""

    def stack(self, loras: Sequence[Lora]) -> Any:
        """Each LoRA by itself."""
        return [stack_loras(self.shapes, [lora]) for lora in loras]

    def states(
        self,
        ids: Sequence[Sequence[int]],
        tokens: Sequence[Sequence[int]],
        slots: Sequence[int],
        stacked: Any,
        count: int,
    ) -> "States":
        """:meth:`Sessions.states`; zero where a window has no token."""
        k, length = self._bundle.k, max(map(len, ids))
        mask = np.zeros((len(ids), length), np.int64)
        names = names_of_states(k, count)
        # By state and LoRA, the windows' arrays (1, T, D).
        parts: list[list[list[np.ndarray]]] = [[[] for _ in slots] for _ in range(count)]
        for number, row in enumerate(ids):
            mask[number, : len(row)] = 1
            outputs = self._trunk.run(None, {"input_ids": np.array([row], np.int64)})
            entering = dict(zip(self._entering, outputs, strict=True))
            for group, slot in enumerate(slots):
                read = self._top.run(names, {**entering, **stacked[slot]})
                if count > k:
                    read = [entering["hidden"], *read]
                for of_state, of_window in zip(parts, read, strict=True):
                    of_state[group].append(of_window)
        states = [[_padded(part, length) for part in of_state] for of_state in parts]
        return States(states, mask, tokens, self._bundle.pooling)


def _padded(windows: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Windows ``(1, T, D)`` one below another, with zeros up to ``length``."""
    if len(windows) == 1:
        return windows[0]
    padded = np.zeros((len(windows), length, windows[0].shape[-1]), np.float32)
    for number, window in enumerate(windows):
        padded[number, : window.shape[1]] = window[0]
    return padded


def sessions_of(bundle: Bundle, threads: int) -> Sessions:
    """The graphs of a bundle, to run on ``threads`` threads (0: all cores)."""
    kind = SessionsOfOne if bundle.precision == OF_ONE else Sessions
    return kind(bundle, threads)


def stack_loras(
    shapes: Mapping[str, Sequence[int | str]], loras: Sequence[Lora]
) -> dict[str, np.ndarray]:
    """The top's LoRA inputs: ``(n, d_in, r)`` and ``(n, r, d_out)`` float32 of every place.

    They are zero where a LoRA lacks a place or has a lower rank. ``shapes`` are those of all inputs
    of the top; n and r have names there.
    """
    ranks = [a.shape[1] for lora in loras for name, a in lora.items() if name.endswith(".a")]
    rank = max(ranks, default=1)
    stacked = {}
    for name, (_, *shape) in shapes.items():
        if name.endswith((".a", ".b")):
            size = [rank if isinstance(length, str) else length for length in shape]
            stacked[name] = np.zeros((len(loras), *size), np.float32)
            for number, lora in enumerate(loras):
                if name in lora:
                    rows, columns = lora[name].shape
                    stacked[name][number, :rows, :columns] = lora[name]
    return stacked


def names_of_states(k: int, count: int) -> list[str]:
    """The outputs of a top of k layers that hold the last ``count`` states."""
    return [f"state_{number}" for number in range(k - min(count, k) + 1, k + 1)]


class States:
    """States of B windows under G LoRAs, from which heads read vectors."""

    def __init__(
        self,
        layers: Sequence[Sequence[np.ndarray]],
        mask: np.ndarray,
        tokens: Sequence[Sequence[int]],
        pooling: str,
    ) -> None:
        """``layers[l][g]``: the states ``(B, T, D)`` of a layer under a LoRA, the last layer last.
        ``mask``: 1 for a token, 0 for padding, ``(B, T)``. ``pooling``: mean or cls."""
        self._layers, self._mask, self._tokens, self._pooling = layers, mask, tokens, pooling

    def read(self, group: int, count: int, per_word: bool) -> np.ndarray:
        """The last ``count`` states under LoRA ``group``, side by side: of all windows at their
        tokens, ``(U, count D)``, or each window's pooled, ``(B, count D)``."""
        states = [of_layer[group] for of_layer in self._layers[-count:]]
        if per_word:
            parts = [state[self._places] for state in states]
        elif self._pooling == "cls":
            parts = [state[:, 0].copy() for state in states]  # else all of it stays in memory
        else:
            parts = [(self._shares @ state)[:, 0] for state in states]
        return parts[0] if count == 1 else np.concatenate(parts, -1)

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Window and position of each token that is read, ``(U,)`` both."""
        windows = np.repeat(np.arange(len(self._tokens)), [*map(len, self._tokens)])
        return windows, np.array([*chain.from_iterable(self._tokens)], np.int64)

    @cached_property
    def _shares(self) -> np.ndarray:
        """Of each token in the mean over its window, ``(B, 1, T)``."""
        shares = self._mask / self._mask.sum(1, keepdims=True)
        return shares.astype(np.float32)[:, None]
