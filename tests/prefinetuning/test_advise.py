"""Conflict estimated from noisy batches, and the rule that turns it into k."""

import pytest
import torch
from torch import Tensor

from onetrunk.prefinetuning import advise as module
from onetrunk.prefinetuning.advise import RESAMPLES, Advice, advise, best_k
from onetrunk.prefinetuning.profile import Profile

WIDTH = 60


def profile_of(
    cosines: list[float], m: int = 16, noise: float = 0.0, seed: int = 0, norms: float = 1.0
) -> Profile:
    """Batches of two families whose expected gradients, of length 1 and ``norms``, have these
    cosines by layer. Noise has ``noise`` times the expected gradient's length."""
    generator = torch.Generator().manual_seed(seed)
    grams = []
    for cosine in cosines:
        first, second = torch.zeros(2, WIDTH, dtype=torch.float64)
        first[0], second[0], second[1] = 1, cosine, (1 - cosine**2) ** 0.5
        expected = torch.stack([first, norms * second])[:, None]
        drawn = torch.randn(2, m, WIDTH, generator=generator, dtype=torch.float64) / WIDTH**0.5
        batches = expected + noise * expected.norm(dim=-1, keepdim=True) * drawn
        grams.append(torch.einsum("fmd,gnd->fmgn", batches, batches))
    return Profile(("ner", "tc"), torch.stack(grams), {})


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESAMPLES", 300)


def shared_sum(cosines: Tensor, k: int) -> float:
    return float(cosines[1 : len(cosines) - k].sum())


@pytest.mark.parametrize("seed", range(20))
def test_the_rule_is_the_best_of_all_k(seed: int) -> None:
    cosines = torch.randn(7, generator=torch.Generator().manual_seed(seed))
    k = int(best_k(cosines[None])[0])
    sums = [shared_sum(cosines, k) for k in range(7)]
    assert k == max(range(7), key=lambda k: sums[k])


def test_the_rule_in_plain_cases() -> None:
    cases = {
        (-0.9, 0.1, 0.1, -0.2, -0.3): 2,  # the embeddings are shared whatever they do
        (0.0, 0.1, 0.1, 0.1, 0.1): 0,
        (0.0, -0.1, -0.1, -0.1, -0.1): 4,
        (0.0, 0.1, -0.3, 0.1, 0.1): 3,  # a conflict below pays for agreement above it
        (0.0, 0.1, -0.1, 0.3, 0.1): 0,  # or does not
        (0.0, 0.0, 0.0, 0.0, 0.0): 0,  # of equals the smallest
    }
    for cosines, expected in cases.items():
        assert best_k(torch.tensor([cosines]))[0] == expected, cosines


def test_without_noise_the_cosines_are_those_of_the_gradients() -> None:
    cosines = [0.5, 0.2, 0.1, -0.4]
    found = advise(profile_of(cosines, m=3, norms=2.0))
    assert [layer.name for layer in found.layers] == ["embeddings", "layer 1", "layer 2", "layer 3"]
    for layer, cosine in zip(found.layers, cosines, strict=True):
        (conflict,) = layer.conflicts.values()
        assert conflict.batch_cosine.value == pytest.approx(cosine)
        assert conflict.expected_cosine is not None
        assert conflict.expected_cosine.value == pytest.approx(cosine)
        assert conflict.norm_ratio == pytest.approx(0.5)
        assert layer.agreement == pytest.approx({"ner": 1.0, "tc": 1.0})
    assert found.k == 1
    assert [layer.private for layer in found.layers] == [False, False, False, True]
    assert found.share > 0.99


def test_noise_does_not_hide_a_conflict(few_resamples: None) -> None:
    """Mean over many profiles of noise twice as long as the signal: estimates without bias, where
    the plain cosine of mean gradients would be at two thirds."""
    profiles = [profile_of([0.0, -0.6], m=8, noise=2.0, seed=seed) for seed in range(80)]
    expected, batch, agreement, plain = [], [], [], []
    for profile in profiles:
        layer = advise(profile).layers[1]
        (conflict,) = layer.conflicts.values()
        batch.append(conflict.batch_cosine.value)
        agreement.append(layer.agreement["tc"])
        if conflict.expected_cosine is not None:
            expected.append(conflict.expected_cosine.value)
        mean = profile.grams[1].mean((1, 3))
        plain.append(float(mean[0, 1] / (mean[0, 0] * mean[1, 1]).sqrt()))
    assert len(expected) > 72
    assert sum(expected) / len(expected) == pytest.approx(-0.6, abs=0.03)
    assert sum(agreement) / len(agreement) == pytest.approx(1 / (1 + 4), abs=0.02)
    assert sum(batch) / len(batch) == pytest.approx(-0.6 / (1 + 4), abs=0.015)
    assert sum(plain) / len(plain) > -0.45


def test_intervals_cover_the_truth_about_as_often_as_they_say(few_resamples: None) -> None:
    covered = 0
    for seed in range(100):
        found = advise(profile_of([0.0, -0.3], noise=2.0, seed=seed)).layers[1]
        estimate = found.conflicts["ner|tc"].batch_cosine
        covered += estimate.low <= -0.3 / 5 <= estimate.high
    assert 0.8 < covered / 100 < 0.98


def test_pure_noise_is_not_given_an_expected_cosine() -> None:
    """Nor a k that resamples agree on."""
    profile = profile_of([0.0] * 5, noise=30.0)
    found = advise(profile)
    known = [layer.conflicts["ner|tc"].expected_cosine is not None for layer in found.layers]
    assert sum(known) <= 1
    assert found.share < 0.8
    assert "not sure" in found.sentence()


def test_more_batches_make_the_advice_surer() -> None:
    cosines = [0.2, 0.2, 0.2, 0.1, -0.2, -0.3]
    shares = []
    for m in (6, 64):
        found = [advise(profile_of(cosines, m, noise=2.5, seed=seed)) for seed in range(5)]
        shares.append(sum(advice.shares[2] for advice in found) / 5)
    assert shares[0] < 0.7 < 0.85 < shares[1]


def test_shares_and_repetition() -> None:
    profile = profile_of([0.0, 0.1, -0.1, -0.1], noise=2.0)
    found = advise(profile)
    assert len(found.shares) == 4
    assert sum(found.shares) == pytest.approx(1)
    assert found == advise(profile)
    assert found.share == found.shares[found.k]


def test_the_lengths_of_gradients_do_not_matter() -> None:
    """A loss in another unit: the same cosines and the same k."""
    plain, scaled = (advise(profile_of([0.0, 0.1, -0.2], noise=1.0, norms=n)) for n in (1.0, 50.0))
    assert plain.k == scaled.k
    for before, after in zip(plain.layers, scaled.layers, strict=True):
        value = before.conflicts["ner|tc"].batch_cosine.value
        assert after.conflicts["ner|tc"].batch_cosine.value == pytest.approx(value)


def test_of_three_families_every_pair_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(3, 3, 4, 20, generator=generator, dtype=torch.float64)  # (L, F, m, d)
    grams = torch.einsum("lfmd,lgnd->lfmgn", gradients, gradients)
    found = advise(Profile(("a", "b", "c"), grams, {}))
    assert list(found.layers[0].conflicts) == ["a|b", "a|c", "b|c"]
    cosines = torch.tensor(
        [[sum(c.batch_cosine.value for c in layer.conflicts.values()) for layer in found.layers]]
    )
    assert found.k == int(best_k(cosines)[0])


def test_the_sentence_says_k_and_how_sure_it_is() -> None:
    def sentence(k: int, shares: list[float]) -> str:
        return Advice(k, shares, []).sentence()

    assert sentence(2, [0.0, 0.1, 0.9, 0.0]) == (
        "Give the families the last 2 of 3 layers (k = 2). That is fairly sure: "
        f"90% of {RESAMPLES:,} resamples of the batches give the same k."
    )
    assert "That is a leaning: 60%" in sentence(1, [0.1, 0.6, 0.3])
    unsure = sentence(1, [0.45, 0.4, 0.15])
    assert "not sure: 40%" in unsure
    assert "45% give k = 0; take more batches, or sweep k" in unsure
    assert "with tpl take k = 1" in sentence(0, [0.9, 0.1])
    assert "all 1 layers (k = 1): apps then share none" in sentence(1, [0.1, 0.9])
