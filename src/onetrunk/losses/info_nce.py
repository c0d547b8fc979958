"""Contrastive learning on weak text pairs, as in E5 (Wang et al. 2022, arXiv 2212.03533)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# So many anchors have their similarities in memory at once. With more anchors, each block's
# similarities are computed again for the gradient: memory grows with N, not with its square.
BLOCK = 1024


def info_nce(
    queries: Tensor,
    positives: Tensor,
    temperature: float | Tensor,
    negatives: Tensor | None = None,
    *,
    identities: Tensor | None = None,
    symmetric: bool = True,
    dimensions: Sequence[int] = (),
) -> Tensor:
    """InfoNCE with in-batch negatives: ``(N, D)`` twice -> scalar, the mean over pairs.

    Row i of ``positives`` belongs to row i of ``queries``. For a query, the other N - 1 positives
    and the rows of ``negatives (M, D)`` are negatives. The similarity is the cosine divided by
    ``temperature``. If ``symmetric``, the loss is the mean of two directions: queries choose among
    positives, and positives among queries. Otherwise only queries choose.

    ``identities (2N + M,)`` int64 has equal numbers where queries, positives and negatives (in this
    order) are the same text; None: all texts differ. A text is never a negative of itself or of its
    partner.

    With ``dimensions`` the loss is the mean over embeddings cut to their first d numbers, for each
    d of these and for D (Matryoshka: Kusupati et al. 2022, arXiv 2205.13147).
    """
    size, width = queries.shape
    candidates = positives if negatives is None else torch.cat([positives, negatives])
    if identities is None:
        identities = torch.arange(size + len(candidates), device=queries.device)
    query, positive, candidate = identities[:size], identities[size:][:size], identities[size:]
    losses = []
    for d in sorted({*dimensions, width}):
        queries_d, candidates_d = (F.normalize(x[:, :d], dim=-1) for x in (queries, candidates))
        losses.append(_choose(queries_d, candidates_d, temperature, (query, positive, candidate)))
        if symmetric:
            losses.append(
                _choose(candidates_d[:size], queries_d, temperature, (positive, query, query))
            )
    return torch.stack(losses).mean()


def _choose(
    anchors: Tensor,
    candidates: Tensor,
    temperature: float | Tensor,
    identities: tuple[Tensor, Tensor, Tensor],
) -> Tensor:
    """Mean cross-entropy of anchor i choosing candidate i: ``(N, D)`` and ``(N + M, D)``.

    ``identities`` are those of the anchors, of their partners and of the candidates.
    """
    anchor, partner, candidate = identities
    blocks = torch.arange(len(anchors), device=anchors.device).split(BLOCK)
    total = anchors.new_zeros(())
    for rows in blocks:
        arguments = (
            anchors[rows], candidates, temperature, rows, anchor[rows], partner[rows], candidate
        )  # fmt: skip
        if len(blocks) == 1:
            total = total + _block(*arguments)
        else:
            total = total + checkpoint(
                _block, *arguments, use_reentrant=False, preserve_rng_state=False
            )
    return total / len(anchors)


def _block(
    anchors: Tensor,
    candidates: Tensor,
    temperature: float | Tensor,
    target: Tensor,
    anchor_identity: Tensor,
    partner_identity: Tensor,
    candidate_identity: Tensor,
) -> Tensor:
    """Cross-entropy of a block of anchors ``(n, D)``, summed.

    ``target (n,)`` says which candidate is the partner of each anchor.
    """
    same_as_anchor = candidate_identity == anchor_identity[:, None]
    no_negative = same_as_anchor | (candidate_identity == partner_identity[:, None])
    no_negative[torch.arange(len(target)), target] = False
    logits = (anchors @ candidates.T / temperature).masked_fill(no_negative, -torch.inf)
    return F.cross_entropy(logits, target, reduction="sum")
