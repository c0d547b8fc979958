"""The two graphs of a bundle, run by onnxruntime, and what heads read from their states."""

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

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

    def states(
        self,
        ids: Sequence[Sequence[int]],
        slots: Sequence[int],
        stacked: Mapping[str, np.ndarray],
        count: int,
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The last ``count`` states ``(G, B, T, D)`` of B windows under G of the stacked LoRAs, and
        the windows' mask ``(B, T)``."""
        input_ids = np.full((len(ids), max(map(len, ids))), self._bundle.pad_id, np.int64)
        mask = np.zeros_like(input_ids)
        for number, row in enumerate(ids):
            input_ids[number, : len(row)], mask[number, : len(row)] = row, 1
        (hidden,) = self._trunk.run(None, {"input_ids": input_ids, "attention_mask": mask})
        k = self._bundle.k
        names = names_of_states(k, count)
        feeds = {
            "hidden": hidden[None],
            "attention_mask": mask[None],
            "slots": np.array(slots, np.int64),
            **stacked,
        }
        states = self._top.run(names, feeds)
        if count > k:
            states = [np.broadcast_to(hidden, (len(slots), *hidden.shape)), *states]
        return states, mask

    def pooled(self, states: Sequence[np.ndarray], mask: np.ndarray) -> np.ndarray:
        """One vector for each window, of some states ``(B, T, D)`` side by side: ``(B, n D)``."""
        if self._bundle.pooling == "cls":
            return np.concatenate([state[:, 0] for state in states], -1)
        weights = (mask / mask.sum(1, keepdims=True)).astype(np.float32)[:, None]
        return np.concatenate([(weights @ state)[:, 0] for state in states], -1)


class SessionsOfOne(Sessions):
    """:class:`Sessions` of graphs that take one text and one LoRA at a time."""

    def states(
        self,
        ids: Sequence[Sequence[int]],
        slots: Sequence[int],
        stacked: Mapping[str, np.ndarray],
        count: int,
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """:meth:`Sessions.states`; zero where a window has no token."""
        k, width, length = self._bundle.k, self._bundle.width, max(map(len, ids))
        mask = np.zeros((len(ids), length), np.int64)
        shape = (len(slots), *mask.shape, width)
        states = [np.zeros(shape, np.float32) for _ in range(count)]
        names = names_of_states(k, count)
        loras = [{name: stack[n : n + 1] for name, stack in stacked.items()} for n in slots]
        for number, row in enumerate(ids):
            mask[number, : len(row)] = 1
            (hidden,) = self._trunk.run(None, {"input_ids": np.array([row], np.int64)})
            for group, lora in enumerate(loras):
                read = self._top.run(names, {"hidden": hidden, **lora})
                if count > k:
                    read = [hidden, *read]
                for state, of_window in zip(states, read, strict=True):
                    state[group, number, : len(row)] = of_window[0]
        return states, mask


def sessions_of(bundle: Bundle, threads: int) -> Sessions:
    """The graphs of a bundle, to run on ``threads`` threads (0: all cores)."""
    kind = SessionsOfOne if bundle.precision == OF_ONE else Sessions
    return kind(bundle, threads)


def names_of_states(k: int, count: int) -> list[str]:
    """The outputs of a top of k layers that hold the last ``count`` states."""
    return [f"state_{number}" for number in range(k - min(count, k) + 1, k + 1)]


def token_states(states: Sequence[np.ndarray], tokens: Sequence[Sequence[int]]) -> np.ndarray:
    """Some states ``(B, T, D)`` side by side, at the given tokens of each window: ``(U, n D)``."""
    windows = np.repeat(np.arange(len(tokens)), [*map(len, tokens)])
    places = np.array([*chain.from_iterable(tokens)], np.int64)
    return np.concatenate([state[windows, places] for state in states], -1)
