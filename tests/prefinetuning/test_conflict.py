"""The Gram matrix and the weights of gradient surgery, against references of their own."""

import sys

import pytest
import torch
from torch import Tensor

from onetrunk.errors import UserError
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.prefinetuning import conflict
from onetrunk.prefinetuning.conflict import combining_weights, grams

SHAPES = [(5, 4), (7,), (3, 6), (6,), (2, 2, 3)]
LAYERS = [0, 0, 1, 2, 2]


def families(m: int, seed: int = 0) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(shape, generator=generator) for shape in SHAPES] for _ in range(m)]


def of_layer(family: list[Tensor], layer: int) -> Tensor:
    return torch.cat([g.flatten() for g, at in zip(family, LAYERS, strict=True) if at == layer])


def pair(cosine: float, first: float = 1.0, second: float = 1.0) -> Tensor:
    """The Gram matrix of two gradients with this cosine and these norms."""
    inner = cosine * first * second
    return torch.tensor([[first**2, inner], [inner, second**2]], dtype=torch.float64)


def random_gram(m: int, seed: int, conflicting: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    gradients = torch.randn(m, 3 * m, generator=generator, dtype=torch.float64)
    gradients *= torch.rand(m, 1, generator=generator) * 3 + 0.1
    if not conflicting:
        gradients = gradients.abs()
    return gradients @ gradients.T


# -------------------------------------------------------------------------------- the Gram matrix


def test_grams_equal_a_float64_loop() -> None:
    gradients = families(3)
    found = grams(gradients, LAYERS)
    assert found.shape == (3, 3, 3)
    assert found.dtype == torch.float64
    for layer in range(3):
        flat = [of_layer(family, layer).double() for family in gradients]
        for i in range(3):
            for j in range(3):
                expected = sum(float(a) * float(b) for a, b in zip(flat[i], flat[j], strict=True))
                assert float(found[layer, i, j]) == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_cosines_and_norms_by_layer() -> None:
    gradients = families(2)
    found = grams(gradients, LAYERS)
    cosines = conflict.cosines(found, ["ner", "tc"])
    assert list(cosines) == ["ner|tc"]
    for layer in range(3):
        own = [of_layer(family, layer) for family in gradients]
        expected = float(torch.cosine_similarity(own[0], own[1], dim=0))
        assert cosines["ner|tc"][layer] == pytest.approx(expected, abs=1e-4)
        assert conflict.norms(found)[layer].tolist() == pytest.approx(
            [float(g.norm()) for g in own], rel=1e-5
        )
    assert list(conflict.cosines(grams(families(3), LAYERS), "abc")) == ["a|b", "a|c", "b|c"]


def test_a_vanished_gradient_conflicts_with_nothing() -> None:
    first, second = families(2)
    for g in second:
        g.zero_()
    assert conflict.cosines(grams([first, second], LAYERS), ["ner", "tc"]) == {"ner|tc": [0.0] * 3}


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra", "roberta"])
def test_every_parameter_has_its_layer(kind: str, tiny_encoder_folder: object) -> None:
    encoder: Encoder = load_encoder(str(tiny_encoder_folder(kind)))  # type: ignore[operator]
    found: dict[int, set[int]] = {}
    for name, parameter in encoder.model.named_parameters():
        found.setdefault(conflict.layer_of(encoder, name), set()).add(id(parameter))
    assert set(found) == set(range(encoder.depth + 1))
    for i, layer in enumerate(encoder.layers):
        assert found[i + 1] == {id(p) for p in layer.parameters()}


def test_combine_is_the_weighted_sum() -> None:
    gradients, weights = families(3), [0.5, -2.0, 3.0]
    expected = [
        sum(w * g for w, g in zip(weights, column, strict=True))
        for column in zip(*families(3), strict=True)
    ]
    for found, reference in zip(conflict.combine(gradients, weights), expected, strict=True):
        torch.testing.assert_close(found, reference)


# ------------------------------------------------------------------------------ gradient surgery


@pytest.mark.parametrize("cosine", [-0.99, -0.5, -0.01, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("norms", [(1.0, 1.0), (0.2, 3.0)])
def test_pcgrad_of_two_is_the_closed_form(cosine: float, norms: tuple[float, float]) -> None:
    """g_1 - (g_1·g_2 / |g_2|²) g_2 and the other way round, each only if g_1·g_2 < 0."""
    gram = pair(cosine, *norms)
    lost = min(0.0, cosine)
    # g_2's projection takes g_2·g_1 / |g_1|² of g_1 away: the weight of g_1 grows by that.
    expected = [1 - lost * norms[1] / norms[0], 1 - lost * norms[0] / norms[1]]
    assert combining_weights(gram, "pcgrad") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("m", [2, 3, 4])
def test_imtl_g_is_equally_long_along_every_gradient(m: int, seed: int) -> None:
    gram = random_gram(m, seed)
    weights = torch.tensor(combining_weights(gram, "imtl-g"), dtype=torch.float64)
    along = (gram @ weights) / gram.diagonal().sqrt()
    torch.testing.assert_close(along, along[:1].expand(m), rtol=1e-4, atol=1e-8)
    assert float(weights.sum()) == pytest.approx(m, rel=1e-6)


def test_imtl_g_forgets_the_weights_of_the_recipe() -> None:
    """Twice the gradient, half the factor: only the length of the update changes."""
    plain, scaled = (combining_weights(pair(-0.3, 1.0, 2.0 * s), "imtl-g") for s in (1.0, 5.0))
    assert plain == pytest.approx([4 / 3, 2 / 3])
    assert scaled[0] / (5 * scaled[1]) == pytest.approx(plain[0] / plain[1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("m", [2, 3, 4])
def test_upgrad_goes_against_no_gradient(m: int, seed: int) -> None:
    gram = random_gram(m, seed)
    weights = torch.tensor(combining_weights(gram, "upgrad"), dtype=torch.float64)
    length = float(weights @ gram @ weights) ** 0.5
    assert (gram @ weights >= -2e-4 * length * gram.diagonal().sqrt()).all()


def test_upgrad_heeds_a_gradient_that_is_much_shorter() -> None:
    weights = combining_weights(pair(-0.9, 1.0, 1e-4), "upgrad")
    assert weights == pytest.approx(combining_weights(pair(-0.9, 1.0, 1e-4), "pcgrad"), rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_upgrad_of_two_is_the_sum_of_projections(seed: int) -> None:
    """Onto the cone {x : x·g_1 ≥ 0, x·g_2 ≥ 0}, which for two gradients is PCGrad's answer."""
    gram = random_gram(2, seed)
    expected = combining_weights(gram, "pcgrad")
    # The solver adds 1e-4 to the diagonal of the Gram matrix.
    assert combining_weights(gram, "upgrad") == pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("seed", range(6))
def test_cagrad_of_two_is_the_best_of_the_simplex(seed: int) -> None:
    """max_d min_i g_i·d with |d - g_0| ≤ c |g_0|: its dual, by brute force over w."""
    gram, c = random_gram(2, seed), 0.5
    mean = torch.tensor([0.5, 0.5], dtype=torch.float64)
    radius = c * float(mean @ gram @ mean) ** 0.5
    first = torch.linspace(0, 1, 20001, dtype=torch.float64)
    w = torch.stack([first, 1 - first], 1)
    length = ((w @ gram) * w).sum(1).clamp_min(0).sqrt()
    at = int((w @ gram @ mean + radius * length).argmin())
    reference = mean + radius / length[at] * w[at]
    found = torch.tensor(combining_weights(gram, "cagrad"), dtype=torch.float64) / 2

    def worst(weights: Tensor) -> float:
        return float((gram @ weights).min())

    assert float((found - mean) @ gram @ (found - mean)) ** 0.5 <= radius * (1 + 1e-4)
    assert worst(found) == pytest.approx(worst(reference), rel=1e-3, abs=1e-4 * float(gram.max()))


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("surgery", ["pcgrad", "upgrad"])
def test_without_conflict_the_sum_stays(surgery: conflict.Surgery, m: int) -> None:
    gram = random_gram(m, 0, conflicting=False)
    assert combining_weights(gram, surgery) == pytest.approx([1.0] * m, rel=1e-5)


def test_where_surgery_is_not_the_sum_without_conflict() -> None:
    """Equal gradients: CAGrad's ball adds half of the sum; IMTL-G is the sum if norms agree."""
    assert sum(combining_weights(pair(1.0), "cagrad")) == pytest.approx(3.0, rel=1e-3)
    assert combining_weights(pair(0.3), "imtl-g") == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("surgery", ["pcgrad", "cagrad", "imtl-g", "upgrad"])
def test_the_unit_of_a_loss_changes_no_weight(surgery: conflict.Surgery) -> None:
    gram = pair(-0.4, 1.0, 2.0)
    expected = combining_weights(gram, surgery)
    for scale in (1e-12, 1e8):
        assert combining_weights(gram * scale, surgery) == pytest.approx(expected, rel=1e-3)


def test_no_surgery_and_one_family_keep_the_gradient() -> None:
    assert combining_weights(pair(-1.0), None) == [1.0, 1.0]
    assert combining_weights(torch.tensor([[4.0]]), "upgrad") == [1.0]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(UserError, match=r"'upgrad' needs .* pip install 'onetrunk\[surgery\]'"):
        combining_weights(pair(-0.5), "upgrad")
