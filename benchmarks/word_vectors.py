"""Vectors of word pieces from the company they keep, for an encoder to start from.

Positive pointwise mutual information of pieces within a few places of each other, and its first
singular vectors, each by the root of its singular value (Levy & Goldberg 2014, Neural word
embedding as implicit matrix factorization; Levy et al. 2015 for the weights by distance and the
smoothed contexts). Counting reads each text once, which a masked language model on two cores could
not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

WINDOW = 5
SMOOTHING = 0.75  # contexts count as their number to this power
CHUNK = 8192  # blocks: bounds memory


def word_vectors(
    blocks: np.ndarray, vocabulary: int, width: int, special: Sequence[int]
) -> np.ndarray:
    """``(vocabulary, width)`` float32 from blocks ``(N, T)`` of token ids; zeros for the special
    ids and for those that keep no company."""
    counts = sparse.csr_matrix((vocabulary, vocabulary), dtype=np.float32)
    for first in range(0, len(blocks), CHUNK):
        chunk = blocks[first : first + CHUNK].astype(np.int32)
        for distance in range(1, WINDOW + 1):
            pairs = chunk[:, :-distance].ravel(), chunk[:, distance:].ravel()
            weights = np.full(len(pairs[0]), 1 / distance, np.float32)
            counts = counts + sparse.csr_matrix((weights, pairs), shape=counts.shape)
    both = (counts + counts.T).tocoo()
    plain = ~(np.isin(both.row, special) | np.isin(both.col, special))
    rows, columns, values = both.row[plain], both.col[plain], both.data[plain].astype(np.float64)
    words = np.bincount(rows, values, vocabulary)
    contexts = words**SMOOTHING
    information = np.log(values * contexts.sum() / (words[rows] * contexts[columns]))
    positive = information > 0
    matrix = sparse.csr_matrix(
        (information[positive].astype(np.float32), (rows[positive], columns[positive])),
        shape=counts.shape,
    )
    left, singular, _ = randomized_svd(matrix, width, n_iter=2, random_state=0)
    vectors = (left * np.sqrt(singular)).astype(np.float32)
    vectors[np.diff(matrix.indptr) == 0] = 0.0  # what rounding left of rows without an entry
    return vectors
