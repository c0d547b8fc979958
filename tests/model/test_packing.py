from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from transformers import AutoModel

from onetrunk.data.batching import by_tokens
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.model.packing import _PackedAttention, groups_of
from onetrunk.model.padding import pad

KINDS = ["bert", "distilbert", "roberta", "electra"]
BATCHES = [[5, 3, 3, 9, 1], [4], [7, 7], [1, 1, 1]]


def texts_of(lengths: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(5, 40, length) for length in lengths]


def both(encoder: Encoder, lengths: list[int]) -> list[torch.Tensor]:
    """States and gradients of a loss on them, packed then padded."""
    texts, found = texts_of(lengths), []
    ids, mask = pad(texts, encoder.tokenizer.pad_token_id)
    for packed in (True, False):
        encoder.model.zero_grad()
        states, seen = encoder.packed(texts) if packed else (encoder.states(ids, mask), mask)
        assert torch.equal(seen, mask)
        states = states * mask[..., None]
        (states * torch.arange(states.numel()).view_as(states).cos()).sum().backward()
        grads = [p.grad.flatten() for p in encoder.model.parameters() if p.grad is not None]
        found += [states.detach(), torch.cat(grads)]
    return found


@pytest.mark.parametrize("lengths", BATCHES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_packed_equals_padded(tiny_encoder_folder: Any, kind: str, lengths: list[int]) -> None:
    encoder = load_encoder(str(tiny_encoder_folder(kind)))
    states, gradient, want_states, want_gradient = both(encoder, lengths)
    assert_close(states, want_states, atol=1e-5, rtol=0)
    assert_close(gradient, want_gradient, atol=1e-4, rtol=1e-4)


def test_a_text_that_says_padding_is_read_as_it_is_with_padding(tiny_encoder_folder: Any) -> None:
    """RoBERTa gives such a token no position of its own."""
    encoder = load_encoder(str(tiny_encoder_folder("roberta")))
    texts = [[0, 9, 1, 12, 1, 2], [0, 7, 8, 2]]
    assert encoder.tokenizer.pad_token_id == 1
    with torch.no_grad():
        states, mask = encoder.packed(texts)
        assert_close(states, encoder.states(*pad(texts, 1)) * mask[..., None], atol=1e-5, rtol=0)


def test_a_text_does_not_see_its_neighbours(tiny_encoder: Encoder) -> None:
    texts = texts_of([6, 6, 4])
    alone = [tiny_encoder.packed([text])[0][0] for text in texts]
    together, _ = tiny_encoder.packed(texts)
    for states, want in zip(together, alone, strict=True):
        assert_close(states[: len(want)], want, atol=1e-5, rtol=0)
        assert not states[len(want) :].any()


def test_saved_models_load_with_the_attention_of_their_loader(
    tiny_encoder: Encoder, tmp_path: Path
) -> None:
    tiny_encoder.model.save_pretrained(tmp_path)
    assert "onetrunk" not in (tmp_path / "config.json").read_text()
    assert AutoModel.from_pretrained(tmp_path).config._attn_implementation != "onetrunk"


def test_chunks_hold_every_text_once_and_are_equally_full() -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 50):
        lengths = rng.integers(1, 40, count).tolist()
        chunks = by_tokens(lengths, 64)
        assert sorted(row for chunk in chunks for row in chunk) == list(range(count))
        for chunk in chunks:
            assert chunk
            assert sum(lengths[row] for row in chunk) < 64 + 40
            assert [lengths[row] for row in chunk] == sorted(lengths[row] for row in chunk)


@pytest.mark.parametrize("packs", [1, 3])
@pytest.mark.parametrize("lengths", [[3, 4, 4, 5, 9], [7, 2, 3], [6]], ids=str)
def test_attention_equals_pytorch_s(lengths: list[int], packs: int) -> None:
    """Value and gradients, in float64, one text at a time."""
    torch.manual_seed(0)
    heads = [torch.randn(packs, sum(lengths), 2, 4, dtype=torch.float64) for _ in range(4)]
    q, k, v = (x.requires_grad_() for x in heads[:3])
    groups = groups_of(lengths, torch.device("cpu"))
    assert len(groups) < len(lengths) or len(lengths) == 1
    found = _PackedAttention.apply(q, k, v, 0.3, 0.0, groups)
    gradients = torch.autograd.grad((found * heads[3]).sum(), (q, k, v))
    texts = zip(*(x.transpose(1, 2).split(lengths, 2) for x in (q, k, v)), strict=True)
    seen = [F.scaled_dot_product_attention(*of, scale=0.3) for of in texts]
    wanted = torch.cat(seen, 2).transpose(1, 2)
    assert_close(found, wanted)
    assert_close(gradients, torch.autograd.grad((wanted * heads[3]).sum(), (q, k, v)))


def test_dropout_keeps_the_mean_and_its_own_gradient() -> None:
    torch.manual_seed(0)
    lengths, drop = [4, 5], 0.4
    groups = groups_of(lengths, torch.device("cpu"))
    q, k, v = (torch.randn(1, 9, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)  # the same entries fall away each time
        return _PackedAttention.apply(*inputs, 0.5, drop, groups)

    assert torch.autograd.gradcheck(run, (q, k, v))
    with torch.no_grad():
        plain = _PackedAttention.apply(q, k, v, 0.5, 0.0, groups)
        drawn = [_PackedAttention.apply(q, k, v, 0.5, drop, groups) for _ in range(4000)]
        assert_close(torch.stack(drawn).mean(0), plain, atol=0.06, rtol=0)
