"""Rows drawn again with replacement, for bootstrap intervals."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Size of the weights of one chunk of resamples: 32 MB.
_CHUNK_NUMBERS = 1 << 22


def resampled_weights(repeats: NDArray[np.int64], resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each kind of row is drawn, ``(B, K)``, in chunks of all the resamples.

    ``repeats`` ``(K,)`` says how often each kind occurs in the data. Rows that are alike are drawn
    together, because most tests have few kinds of row.
    """
    rng, rows = np.random.default_rng(seed), int(repeats.sum())
    chunk = max(1, _CHUNK_NUMBERS // len(repeats))
    for done in range(0, resamples, chunk):
        weights = rng.multinomial(rows, repeats / rows, min(chunk, resamples - done))
        yield weights.astype(np.float64)
