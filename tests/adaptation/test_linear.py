"""The linear solver reaches the optimum, whatever the shape, and chooses penalties by it."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from onetrunk.adaptation import linear, penalty
from onetrunk.adaptation.linear import EXACT, LinearHead, solve_linear
from onetrunk.adaptation.penalty import (
    FOLDS,
    PENALTIES,
    PENALTY,
    choose_penalty,
    held_out_folds,
    solve_and_judge,
)
from onetrunk.losses.head import (
    binary_cross_entropy,
    cross_entropy,
    cross_entropy_of_tags,
    squared_error,
)


def of_tags(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.reshape(-1, 3), targets.flatten())


def binary(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


LOSSES = {
    "classes": (cross_entropy, F.cross_entropy),
    "shares": (cross_entropy, F.cross_entropy),
    "tags": (cross_entropy_of_tags, of_tags),
    "yes or no": (binary_cross_entropy, binary),
    "numbers": (squared_error, F.mse_loss),
}


def problem(kind: str, units: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features whose spreads differ a thousandfold, and targets that follow them, with noise."""
    rng = np.random.default_rng(units + width)
    hidden = rng.normal(size=(units, min(units, width) // 2 + 1))
    mixing = rng.normal(size=(hidden.shape[1], width)) * np.geomspace(10, 0.01, width)
    x = hidden @ mixing + 0.1 * rng.normal(size=(units, width)) + rng.normal(size=width)
    means = hidden @ rng.normal(size=(hidden.shape[1], classes)) - 3 * rng.random(classes)
    means += rng.gumbel(size=means.shape)
    targets = {
        "classes": lambda: means.argmax(1),
        "shares": lambda: np.exp(means) / np.exp(means).sum(1, keepdims=True),
        "tags": lambda: means.reshape(units, -1, 3).argmax(2),
        "yes or no": lambda: (means > 0) * 1.0,
        "numbers": lambda: means,
    }[kind]()
    return x.astype(np.float32), targets


def optimal_logits(
    x: np.ndarray, targets: np.ndarray, classes: int, l2: float, loss: Any
) -> np.ndarray:
    """By PyTorch's L-BFGS in float64, to the end."""
    features = torch.from_numpy(x).double()
    features = (features - features.mean(0)) / features.std(0, correction=0)
    goal = torch.from_numpy(targets)
    weight = torch.zeros(classes, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=3000, max_eval=5000, history_size=50, tolerance_grad=1e-9,
        tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(features @ weight.T + bias, goal) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(closure)
    assert weight.grad is not None
    assert weight.grad.abs().max() < 1e-7
    return (features @ weight.T + bias).detach().numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def centred(logits: np.ndarray, kind: str) -> np.ndarray:
    """Softmaxes do not see what is added to all of their logits."""
    if kind in ("yes or no", "numbers"):
        return logits
    of_softmax = logits.reshape(len(logits), -1, 3 if kind == "tags" else logits.shape[1])
    return (of_softmax - of_softmax.mean(2, keepdims=True)).reshape(logits.shape)


SHAPES = {
    "more rows than features": (300, 30, 6),
    "so many rows that weights are turned, not features": (1400, 20, 6),
    "more features than rows": (60, 90, 6),
    "far more features than rows": (20, 300, 6),
    "many classes": (250, 30, 42),
    "no axes": (120, 40, 3),
}


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_optimum_is_that_of_float64(
    shape: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shape == "no axes":
        for module in (linear, penalty):
            monkeypatch.setattr(module, "axes_pay", lambda *sizes: False)
    units, width, classes = SHAPES[shape]
    loss, reference = LOSSES[kind]
    x, targets = problem(kind, units, width, classes)
    l2 = 0.03
    want = centred(optimal_logits(x, targets, classes, l2, reference), kind)
    for dtype, close in ((np.float32, 1e-4), (np.float64, 1e-5)):
        goal = targets.astype(dtype) if targets.dtype == np.float64 else targets
        tolerance = EXACT if dtype == np.float32 else 1e-16
        head = solve_linear(x.astype(dtype), goal, classes, l2, loss, tolerance)
        assert head.weight.dtype == head.bias.dtype == dtype
        got = centred(head(x.astype(dtype)), kind)
        scale = max(1.0, float(np.abs(want).max()) / 10)
        np.testing.assert_allclose(got, want, atol=close * scale, rtol=0)


def test_the_device_can_use_it() -> None:
    """Nothing but numpy is imported."""
    code = (
        "import sys, onetrunk.adaptation.penalty; "
        "print({name.split('.')[0] for name in sys.modules} & "
        "{'torch', 'scipy', 'sklearn', 'pydantic', 'rich', 'pyarrow'})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_linear_head_equals_scikit_learn(classes: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 6)) * rng.uniform(0.1, 10, 6) + rng.normal(size=6)
    y = (x @ rng.normal(size=(6, classes)) + rng.gumbel(size=(120, classes))).argmax(1)
    l2 = 0.03
    head = solve_linear(x.astype(dtype), y, classes, l2)
    # Two classes: softmax with two weight vectors w, -w has the penalty of one with half as much.
    strength = (2 if classes == 2 else 1) / (l2 * len(x))
    reference = LogisticRegression(C=strength, tol=1e-8, max_iter=5000)
    scaled = StandardScaler().fit_transform(x)
    want = reference.fit(scaled, y).predict_proba(scaled)
    got = softmax(head(x.astype(dtype)))
    np.testing.assert_allclose(got, want, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [3, 15])
def test_fewer_rows_than_features_have_the_same_head(classes: int, dtype: type) -> None:
    """They are solved in the rows' own coordinates; scikit-learn solves them in all of them."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(30, 50)), np.arange(30) % classes
    head = solve_linear(x.astype(dtype), y, classes, 0.05)
    scaler = StandardScaler().fit(x)
    model = LogisticRegression(C=1 / (0.05 * 30), tol=1e-10, max_iter=10**4)
    model.fit(scaler.transform(x), y)
    got = softmax(head(x.astype(dtype)))
    np.testing.assert_allclose(got, model.predict_proba(scaler.transform(x)), atol=1e-4)


def test_the_linear_head_is_an_optimum_for_many_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 5, generator=generator)
    y = (torch.rand(80, 3, generator=generator) > 0.5).float()
    head = solve_linear(x.numpy(), y.numpy(), 3, l2=0.1)
    std, mean = x.std(0, correction=0), x.mean(0)
    weight = (torch.from_numpy(head.weight) * std).requires_grad_()
    bias = torch.from_numpy(head.bias + head.weight @ mean.numpy()).requires_grad_()
    loss = F.cross_entropy((x - mean) / std @ weight.T + bias, y) + 0.05 * weight.square().sum()
    loss.backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.abs().max() < 1e-4
    assert bias.grad.abs().max() < 1e-4


def test_the_penalty_is_that_of_the_best_cross_validation() -> None:
    """Strong for noise, weak for a rule; as good as scikit-learn's search over the same folds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 40))
    rule = (x[:, :4].sum(1) > 0).astype(int)
    noise = rng.integers(0, 2, 120)
    groups = list(range(120))
    chosen = {}
    for name, y in (("rule", rule), ("noise", noise)):
        chosen[name], loss = choose_penalty(x.astype(np.float32), y, groups, 2)
        order = np.random.default_rng(0).permutation(120)
        losses = []
        for l2 in PENALTIES:
            parts = []
            for k in range(FOLDS):
                out = order % FOLDS == k
                scaler = StandardScaler().fit(x[~out])
                model = LogisticRegression(C=2 / (l2 * (~out).sum()), tol=1e-8, max_iter=10**4)
                model.fit(scaler.transform(x[~out]), y[~out])
                parts.append(log_loss(y[out], model.predict_proba(scaler.transform(x[out]))))
            losses.append(np.mean(parts))
        assert chosen[name] == PENALTIES[int(np.argmin(losses))]
        assert loss == pytest.approx(min(losses), abs=1e-3)  # solved roughly
    assert chosen["noise"] > 3 * chosen["rule"]


@pytest.mark.parametrize("features", [8, 60])
def test_what_is_held_out_is_judged_by_the_others(features: int) -> None:
    """Against scikit-learn, over features standardised by all units; fewer and more than units."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, features)) * rng.uniform(0.1, 10, features)
    y = (x @ rng.normal(size=(features, 3)) + rng.normal(size=(50, 3))).argmax(1)
    groups = [unit // 2 for unit in range(50)]
    judged = solve_and_judge(x, y, groups, 3, 0.1)
    whole = solve_linear(x, y, 3, 0.1)
    np.testing.assert_array_equal(judged.head.weight, whole.weight)
    scaled = (x - x.mean(0)) / x.std(0)
    for held_out in held_out_folds(groups, 50, 3):
        peer = LogisticRegression(C=1 / (int((~held_out).sum()) * 0.1), tol=1e-9)
        peer.fit(scaled[~held_out], y[~held_out])
        found = judged.logits[held_out]
        found = np.exp(found - np.logaddexp.reduce(found, -1, keepdims=True))
        np.testing.assert_allclose(found, peer.predict_proba(scaled[held_out]), atol=5e-3)
    assert judged.is_held_out.all()
    alone = solve_and_judge(x, y, [0] * 50, 3, 0.1)
    assert not alone.is_held_out.any()
    assert not alone.logits.any()


def test_rows_of_a_group_are_held_out_together() -> None:
    """A copy of each row in training would make any penalty look too strong."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 30)).astype(np.float32), rng.integers(0, 2, 40)
    twice, groups = np.concatenate([x, x]), [*range(40), *range(40)]
    together, _ = choose_penalty(twice, np.concatenate([y, y]), groups, 2)
    apart, _ = choose_penalty(twice, np.concatenate([y, y]), list(range(80)), 2)
    assert together >= 10 * apart
    assert choose_penalty(x[:1], y[:1], [0], 2) == (PENALTY, float("inf"))


@pytest.mark.parametrize(
    ("units", "classes", "folds"),
    [(100, 10_000, FOLDS), (101, 10_000, 1), (4000, 2, FOLDS), (4001, 2, 1), (3, 2, 3), (1, 2, 0)],
)
def test_one_fold_is_enough_of_many(units: int, classes: int, folds: int) -> None:
    masks = held_out_folds(range(units), units, classes)
    assert len(masks) == folds
    for mask in masks:
        assert mask.sum() == pytest.approx(units / min(FOLDS, units), abs=1)


def test_what_is_chosen_does_not_depend_on_the_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds share the axes of all rows, have their own, or none."""
    x, y = problem("classes", 300, 30, 6)
    groups = [row // 2 for row in range(300)]
    chosen, loss = choose_penalty(x, y, groups, 6)
    for module in (linear, penalty):
        monkeypatch.setattr(module, "axes_pay", lambda *sizes: False)
    without, loss_without = choose_penalty(x, y, groups, 6)
    for module in (linear, penalty):
        monkeypatch.setattr(module, "axes_pay", lambda *sizes: len(sizes) == 3)
    own, loss_own = choose_penalty(x, y, groups, 6)
    assert chosen == without == own
    assert loss_without == pytest.approx(loss, rel=1e-3)
    assert loss_own == pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize("kind", ["classes", "yes or no"])
def test_a_label_that_no_row_has(kind: str) -> None:
    """It gets a low probability from a moderate bias, and the other labels are as without it."""
    loss, _ = LOSSES[kind]
    x, targets = problem(kind, 200, 20, 4)
    more = np.pad(targets, ((0, 0), (0, 1))) if kind == "yes or no" else targets
    goal = (targets, more) if kind == "classes" else (targets.astype("f4"), more.astype("f4"))
    without, head = (solve_linear(x, y, 4 + at, 0.1, loss) for at, y in enumerate(goal))
    assert -40 < head.bias[4] < head.bias[:4].min() - 8
    assert np.abs(head(x)[:, 4]).max() < 50
    got, want = head(x)[:, :4], without(x)
    np.testing.assert_allclose(centred(got, kind), centred(want, kind), atol=2e-3)


@pytest.mark.parametrize("units", [12, 40])
def test_features_that_say_nothing(units: int) -> None:
    """Constant ones have no weight; with nothing but such features the bias alone decides."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(units, 20)).astype(np.float32), np.arange(units) % 4 % 3
    padded = np.concatenate([x, np.full((units, 3), 7.0, np.float32)], 1)
    head, without = solve_linear(padded, y, 3, 0.1), solve_linear(x, y, 3, 0.1)
    got, want = (centred(logits, "classes") for logits in (head(padded), without(x)))
    np.testing.assert_allclose(got, want, atol=1e-3)
    alone = solve_linear(np.ones((units, 20), np.float32), y, 3, 0.1)
    np.testing.assert_allclose(
        softmax(alone(np.ones((1, 20), np.float32))), [[0.5, 0.25, 0.25]], atol=1e-4
    )


def test_squared_error_has_the_closed_form() -> None:
    x, targets = problem("numbers", 300, 30, 1)
    head = solve_linear(x, targets.astype(np.float32), 1, 0.05, squared_error)
    scaled = StandardScaler().fit_transform(x.astype(np.float64))
    ridge = Ridge(alpha=0.025 * len(x)).fit(scaled, targets[:, 0])
    np.testing.assert_allclose(head(x)[:, 0], ridge.predict(scaled), atol=1e-4)


def test_the_answer_is_the_same_each_time() -> None:
    x, y = problem("classes", 300, 30, 6)
    first, second = (solve_linear(x, y, 6, 0.01) for _ in range(2))
    assert np.array_equal(first.weight, second.weight)
    assert np.array_equal(first.bias, second.bias)


def test_few_rows_of_many_classes_do_not_choose_the_strongest_penalty() -> None:
    """Classes of one row cannot be judged where that row is held out."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, 64)).astype(np.float32)
    targets = np.concatenate([np.arange(40), np.arange(15), np.arange(15)])
    noise = rng.normal(size=(len(targets), 64)).astype(np.float32)
    features = centres[targets] + 0.3 * noise
    l2, _ = choose_penalty(features, targets, list(range(len(targets))), 40)
    assert l2 < PENALTIES[1]
    test_targets = np.arange(40).repeat(5)
    test = centres[test_targets] + 0.3 * rng.normal(size=(200, 64)).astype(np.float32)
    chosen = solve_linear(features, targets, 40, l2)(test).argmax(1)
    assert (chosen == test_targets).mean() > 0.9
    alone = np.arange(12)  # no class twice: nothing can be judged, and it still ends
    assert choose_penalty(features[:12], alone, list(alone), 12)[0] in PENALTIES


@pytest.mark.parametrize("units", [40, 400])
def test_going_on_from_a_head_has_its_optimum(units: int) -> None:
    """Of loss(head + change) + l2/2 · |change|² over features of length one, as scipy finds it."""
    rng = np.random.default_rng(units)
    features = rng.normal(3.0, 2.0, (units, 60))
    targets = rng.integers(0, 3, units)
    start = LinearHead(rng.normal(0, 0.1, (3, 60)), rng.normal(0, 1, 3))
    length = np.sqrt((features**2).sum(1).mean())
    l2 = 0.003

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = flat[:-3].reshape(3, -1), flat[-3:]
        x = features / length
        value, by_logits = cross_entropy(start(features) + x @ weight.T + bias, targets)
        gradient = np.append(by_logits.T @ x, by_logits.sum(0)) + l2 * flat
        return value + l2 / 2 * flat @ flat, gradient

    found = minimize(objective, np.zeros(3 * 61), jac=True, options={"gtol": 1e-9}).x
    wanted = start.weight + found[:-3].reshape(3, -1) / length, start.bias + found[-3:]
    head = solve_and_judge(features, targets, [*range(units)], 3, l2, start=start).head
    np.testing.assert_allclose(head.weight, wanted[0], atol=5e-5)
    np.testing.assert_allclose(head.bias, wanted[1], atol=5e-5)
    stiff = solve_and_judge(features, targets, [*range(units)], 3, 1e6, start=start)
    np.testing.assert_allclose(stiff.head.weight, start.weight, atol=1e-5)
    np.testing.assert_allclose(stiff.logits, start(features), atol=1e-4)
