from __future__ import annotations

import copy
import gc
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.testing import assert_close
from transformers import AutoModel

from onetrunk.errors import UserError
from onetrunk.model.architecture import TARGETS
from onetrunk.model.encoder import Encoder
from onetrunk.model.loading import load_encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.padding import pad
from onetrunk.model.peft_format import load_peft, save_peft

LENGTHS = [9, 3, 12, 1, 7, 5]
KINDS = ["bert", "distilbert", "roberta", "electra"]
SUBSETS = [
    TARGETS,
    ("ffn_down",),
    ("attention_output",),
    ("attention_output", "ffn_down"),
    ("query", "value"),
    ("ffn_up", "ffn_down"),
]
RSLORA = [(TARGETS, True), (("ffn_down",), True)]
VARIANTS = [
    *(("bert", *variant) for variant in [*((targets, False) for targets in SUBSETS), *RSLORA]),
    *(("distilbert", *variant) for variant in [*((t, False) for t in SUBSETS[:3]), *RSLORA[:1]]),
]


def close(got: Tensor, want: Tensor) -> None:
    assert_close(got, want, atol=1e-5, rtol=0)


def various(encoder: Encoder, make: Callable[..., LoraAdapter]) -> dict[str, LoraAdapter]:
    """Adapters that differ in rank, alpha, scaling rule, depth and places."""
    return {
        "all": make(encoder, k=2, rank=4, alpha=8.0, seed=1),
        "deep": make(encoder, k=3, rank=2, alpha=3.0, targets=("query", "value"), seed=2),
        "wide": make(encoder, k=1, rank=7, alpha=7.0, seed=3, rslora=True),
        "down": make(encoder, k=2, rank=1, alpha=5.0, targets=("ffn_down",), seed=4),
    }


def run(encoder: Encoder, stack: LoraStack, names: Sequence[str], batch: tuple) -> Tensor:
    with torch.no_grad(), stack.route(stack.slots(names)):
        return encoder.states(*batch)


def merged(folder: Path, adapter: LoraAdapter | None) -> Encoder:
    """A fresh encoder whose weights have the adapter added in: no stack, no hooks."""
    encoder = load_encoder(str(folder))
    if adapter is not None:
        for (layer, target), (a, b) in adapter.matrices.items():
            with torch.no_grad():
                encoder.linear(layer, target).weight += (a @ b).T * adapter.scaling
    return encoder


ROUTES = {
    "a slot a row": ["all", "none", "deep", "wide", "down", "all"],
    "groups of two": ["wide", "none", "deep"],
    "groups of three": ["down", "all"],
    "one slot": ["deep"],
    "none": ["none"],
}


@pytest.mark.parametrize(
    ("kind", "route"),
    [
        *(("bert", route) for route in ROUTES),
        *((kind, route) for kind in KINDS[1:] for route in ("a slot a row", "groups of two")),
    ],
)
def test_mixed_batch_equals_one_adapter_at_a_time(
    tiny_encoder_folder: Any, random_adapter: Any, random_batch: Any, kind: str, route: str
) -> None:
    names = ROUTES[route]
    folder = tiny_encoder_folder(kind)
    encoder = load_encoder(str(folder))
    adapters = various(encoder, random_adapter)
    stack = LoraStack(encoder, adapters)
    ids, mask = random_batch(encoder, LENGTHS)
    mixed = run(encoder, stack, names, (ids, mask))
    size = len(LENGTHS) // len(names)
    bare = load_encoder(str(folder))
    for group, name in enumerate(names):
        rows = slice(group * size, (group + 1) * size)
        real = mask[rows].bool()
        alone = run(encoder, stack, [name], (ids[rows], mask[rows]))
        close(mixed[rows][real], alone[real])
        with torch.no_grad():
            want = merged(folder, adapters.get(name)).states(ids[rows], mask[rows])
            without = bare.states(ids[rows], mask[rows])
        close(alone[real], want[real])
        far = (want[real] - without[real]).abs().max()
        assert (far > 1e-2) == (name != "none")  # the adapter does something


def test_slot_none_and_no_route_equal_the_bare_encoder_exactly(
    tiny_encoder_folder: Any, random_adapter: Any, random_batch: Any
) -> None:
    folder = tiny_encoder_folder("bert")
    encoder, bare = load_encoder(str(folder)), load_encoder(str(folder))
    batch = random_batch(encoder, LENGTHS)
    stack = LoraStack(encoder, various(encoder, random_adapter))
    with torch.no_grad():
        want = bare.states(*batch)
        assert torch.equal(encoder.states(*batch), want)
    assert torch.equal(run(encoder, stack, ["none"], batch), want)
    assert torch.equal(run(encoder, stack, ["none"] * 6, batch), want)


def test_padding_order_and_size_of_the_batch_change_nothing(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    stack = LoraStack(tiny_encoder, various(tiny_encoder, random_adapter))
    names = ["all", "wide", "none", "deep", "down", "deep"]
    ids, mask = random_batch(tiny_encoder, LENGTHS)
    want = run(tiny_encoder, stack, names, (ids, mask))
    order = [4, 2, 0, 5, 1, 3]
    shuffled = run(tiny_encoder, stack, [names[i] for i in order], (ids[order], mask[order]))
    pad_id = tiny_encoder.tokenizer.pad_token_id
    wider = (
        torch.nn.functional.pad(ids, (0, 9), value=pad_id),
        torch.nn.functional.pad(mask, (0, 9)),
    )
    padded = run(tiny_encoder, stack, names, wider)
    for row, length in enumerate(LENGTHS):
        close(shuffled[order.index(row), :length], want[row, :length])
        close(padded[row, :length], want[row, :length])
        alone = ids[row : row + 1, :length], mask[row : row + 1, :length]
        close(run(tiny_encoder, stack, [names[row]], alone)[0], want[row, :length])


def test_more_adapters_in_the_stack_change_nothing(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    batch = random_batch(tiny_encoder, [6, 4])
    adapters = various(tiny_encoder, random_adapter)
    alone = {}
    for name, adapter in adapters.items():
        small = LoraStack(tiny_encoder, {name: adapter})
        alone[name] = run(tiny_encoder, small, [name], batch)
    stack = LoraStack(tiny_encoder, adapters)
    for name, want in alone.items():
        close(run(tiny_encoder, stack, [name], batch), want)


# Against PEFT


def peft_model(
    folder: Path, targets: Sequence[str], layers: Sequence[int], rslora: bool, seed: int = 0
) -> PeftModel:
    """A PEFT model with LoRA on these layers and a random B."""
    encoder = load_encoder(str(folder))
    places = encoder.architecture
    modules = [f"{places.layers}.{i}.{places.targets[t]}" for i in layers for t in targets]
    config = LoraConfig(r=3, lora_alpha=7, target_modules=modules, use_rslora=rslora)
    model = get_peft_model(AutoModel.from_pretrained(folder), config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                scale = 0.3 if ".lora_A" in name else 0.1
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    count = sum(".lora_B" in name for name, _ in model.named_parameters())
    assert count == len(modules)
    return model


def peft_states(model: PeftModel, batch: tuple[Tensor, Tensor]) -> Tensor:
    return model(input_ids=batch[0], attention_mask=batch[1]).last_hidden_state


@pytest.mark.parametrize(("kind", "targets", "rslora"), VARIANTS, ids=str)
def test_an_adapter_saved_by_peft_gives_the_same_states_here(
    tiny_encoder_folder: Any,
    random_batch: Any,
    tmp_path: Path,
    kind: str,
    targets: tuple[str, ...],
    rslora: bool,
) -> None:
    folder = tiny_encoder_folder(kind)
    model = peft_model(folder, targets, [1, 2], rslora)
    model.save_pretrained(tmp_path / "peft")
    encoder = load_encoder(str(folder))
    adapter = load_peft(tmp_path / "peft", encoder)
    assert adapter.targets == [t for t in TARGETS if t in targets]
    assert adapter.layers == [1, 2]
    batch = random_batch(encoder, LENGTHS)
    stack = LoraStack(encoder, {"x": adapter})
    with torch.no_grad():
        want = peft_states(model, batch)
        bare = load_encoder(str(folder)).states(*batch)
    real = batch[1].bool()
    close(run(encoder, stack, ["x"], batch)[real], want[real])
    assert (want - bare)[real].abs().max() > 1e-2


@pytest.mark.parametrize(("kind", "targets", "rslora"), VARIANTS, ids=str)
def test_an_adapter_saved_here_gives_the_same_states_in_peft(
    tiny_encoder_folder: Any,
    random_adapter: Any,
    random_batch: Any,
    tmp_path: Path,
    kind: str,
    targets: tuple[str, ...],
    rslora: bool,
) -> None:
    folder = tiny_encoder_folder(kind)
    encoder = load_encoder(str(folder))
    adapter = random_adapter(encoder, k=2, rank=3, alpha=7.0, targets=targets, rslora=rslora)
    save_peft(adapter, encoder, tmp_path / "ours")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(folder), tmp_path / "ours").eval()
    adapted = [name for name, _ in model.named_parameters() if ".lora_B" in name]
    assert len(adapted) == len(adapter.matrices)  # and no module more
    batch = random_batch(encoder, LENGTHS)
    stack = LoraStack(encoder, {"x": adapter})
    real = batch[1].bool()
    with torch.no_grad():
        close(peft_states(model, batch)[real], run(encoder, stack, ["x"], batch)[real])


@pytest.mark.parametrize(
    "places",
    [
        [(2, "query"), (0, "ffn_down")],  # other targets on other layers
        [(1, "query"), (1, "key"), (2, "query")],
        [(0, "attention_output"), (0, "ffn_down"), (2, "ffn_down")],
    ],
)
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_ragged_places_survive_peft_and_back(
    tiny_encoder_folder: Any,
    random_adapter: Any,
    random_batch: Any,
    tmp_path: Path,
    kind: str,
    places: list[tuple[int, str]],
) -> None:
    folder = tiny_encoder_folder(kind)
    encoder = load_encoder(str(folder))
    full = random_adapter(encoder, k=3)
    adapter = LoraAdapter(full.rank, full.alpha, {place: full.matrices[place] for place in places})
    save_peft(adapter, encoder, tmp_path / "ours")
    model = PeftModel.from_pretrained(AutoModel.from_pretrained(folder), tmp_path / "ours").eval()
    batch = random_batch(encoder, [8, 8])
    stack = LoraStack(encoder, {"x": adapter})
    with torch.no_grad():
        close(peft_states(model, batch), run(encoder, stack, ["x"], batch))
    model.save_pretrained(tmp_path / "theirs")
    again = load_peft(tmp_path / "theirs", encoder)
    assert set(again.matrices) == set(places)
    for place in places:
        assert all(map(torch.equal, again.matrices[place], adapter.matrices[place]))


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_gradients_equal_those_of_peft(
    tiny_encoder_folder: Any, random_batch: Any, tmp_path: Path, kind: str
) -> None:
    folder = tiny_encoder_folder(kind)
    model = peft_model(folder, TARGETS, [1, 2], rslora=False)
    model.save_pretrained(tmp_path)
    encoder = load_encoder(str(folder))
    stack = LoraStack(encoder, {"x": load_peft(tmp_path, encoder)})
    ids, mask = random_batch(encoder, LENGTHS)
    weights = torch.randn(
        len(LENGTHS), max(LENGTHS), 32, generator=torch.Generator().manual_seed(3)
    )
    weights *= mask[..., None]

    def loss(states: Tensor) -> Tensor:
        return (states * weights).square().mean()

    loss(peft_states(model, (ids, mask))).backward()
    with stack.route(stack.slots(["x"])):
        loss(encoder.states(ids, mask)).backward()
    theirs = {name: p.grad for name, p in model.named_parameters() if ".lora_" in name}
    names = encoder.architecture
    checked = 0
    for layer in (1, 2):
        for target in TARGETS:
            module = f"base_model.model.{names.layers}.{layer}.{names.targets[target]}"
            key = f"layer_{layer}_{target}"
            close(stack.a[key].grad[1].T, theirs[f"{module}.lora_A.default.weight"])
            close(stack.b[key].grad[1].T, theirs[f"{module}.lora_B.default.weight"])
            checked += bool(stack.b[key].grad[1].abs().max() > 1e-4)
    assert checked >= 11  # a key map shared by all keys of a head may have next to no gradient


# Gradients


def gradients(stack: LoraStack, slot: int) -> list[Tensor]:
    return [p.grad[slot] for p in (*stack.a.values(), *stack.b.values()) if p.grad is not None]


def test_a_loss_reaches_its_own_slot_and_the_backbone_alone(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    stack = LoraStack(
        tiny_encoder,
        {name: random_adapter(tiny_encoder, seed=i) for i, name in enumerate(("ner", "tc"))},
    )
    with stack.route(stack.slots(["ner"])):
        tiny_encoder.states(*random_batch(tiny_encoder, LENGTHS)).square().sum().backward()
    assert all(torch.count_nonzero(grad) == 0 for grad in gradients(stack, stack.slot("tc")))
    assert all(torch.count_nonzero(grad) == 0 for grad in gradients(stack, stack.slot("none")))
    assert all(grad.abs().max() > 0 for grad in gradients(stack, stack.slot("ner")))
    trained = [
        name
        for name, p in tiny_encoder.model.named_parameters()
        if p.grad is not None and p.grad.abs().max() > 0
    ]
    assert "embeddings.word_embeddings.weight" in trained
    for layer in range(3):
        assert f"encoder.layer.{layer}.output.dense.weight" in trained


@pytest.mark.parametrize("frozen", [False, True])
def test_merged_weights_train_as_the_stack_does(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any, frozen: bool
) -> None:
    """Same states, same gradients of backbone, A and B; other slots have none; W comes back."""
    stack = LoraStack(tiny_encoder, various(tiny_encoder, random_adapter))
    tiny_encoder.model.requires_grad_(not frozen)
    batch = random_batch(tiny_encoder, LENGTHS)
    weights = {name: p.clone() for name, p in tiny_encoder.model.named_parameters()}
    found = []
    for name in ("all", "deep", "wide"):
        for context in (stack.route(stack.slots([name])), stack.merged(name)):
            stack.zero_grad()
            tiny_encoder.model.zero_grad()
            with context:
                states = tiny_encoder.states(*batch)
                for part in states.square().sum(-1).unbind():  # several backwards add up
                    part.sum().backward(retain_graph=True)
            found.append(
                {
                    "states": states.detach(),
                    **{n: p.grad for n, p in tiny_encoder.model.named_parameters()},
                    **{n: p.grad for n, p in stack.named_parameters()},
                }
            )
        routed, merged = found[-2:]
        for key, want in routed.items():
            assert (want is None) == (merged[key] is None), key
            if want is not None:
                assert_close(merged[key], want, atol=2e-4, rtol=2e-4)
        assert sum(g is not None for g in merged.values()) > 12
    assert all(torch.equal(p, weights[n]) for n, p in tiny_encoder.model.named_parameters())


def test_merging_adds_to_the_gradient_that_is_there(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    stack = LoraStack(tiny_encoder, various(tiny_encoder, random_adapter))
    weight, batch = tiny_encoder.linear(2, "ffn_up").weight, random_batch(tiny_encoder, LENGTHS)
    gradients_of = {}
    for names in (["all"], ["wide"], ["all", "wide"]):
        tiny_encoder.model.zero_grad()
        for name in names:
            with stack.merged(name):
                tiny_encoder.states(*batch).square().sum().backward()
        gradients_of[tuple(names)] = weight.grad
    assert_close(gradients_of["all", "wide"], gradients_of["all",] + gradients_of["wide",])


def test_a_mixed_batch_gives_each_slot_the_gradient_of_its_own_rows(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    stack = LoraStack(
        tiny_encoder,
        {name: random_adapter(tiny_encoder, seed=i) for i, name in enumerate(("ner", "tc"))},
    )
    ids, mask = random_batch(tiny_encoder, [5, 5, 5, 5])
    want = {}
    for name, rows in (("ner", slice(0, 2)), ("tc", slice(2, 4))):
        stack.zero_grad()
        with stack.route(stack.slots([name])):
            tiny_encoder.states(ids[rows], mask[rows]).pow(3).sum().backward()
        want[name] = [grad.clone() for grad in gradients(stack, stack.slot(name))]
    stack.zero_grad()
    with stack.route(stack.slots(["ner", "tc"])):
        tiny_encoder.states(ids, mask).pow(3).sum().backward()
    for name, grads in want.items():
        for got, grad in zip(gradients(stack, stack.slot(name)), grads, strict=True):
            # Sums over the batch of gradients in the hundreds.
            assert_close(got, grad, atol=1e-5 * float(grad.abs().max().clamp_min(1)), rtol=0)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_slot_none_and_padded_ranks_stay_zero_through_training(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any, weight_decay: float
) -> None:
    adapters = {
        "small": random_adapter(tiny_encoder, rank=2, seed=1),
        "large": random_adapter(tiny_encoder, k=3, rank=5, seed=2),
    }
    stack = LoraStack(tiny_encoder, adapters)
    optimizer = torch.optim.AdamW(stack.parameters(), lr=0.05, weight_decay=weight_decay)
    batch = random_batch(tiny_encoder, [6, 4, 5])
    for _ in range(4):
        optimizer.zero_grad()
        with stack.route(stack.slots(["none", "small", "large"])):
            tiny_encoder.states(*batch).pow(3).mean().backward()
        optimizer.step()
    small = stack.slot("small")
    for key in stack.a:
        a, b = stack.a[key], stack.b[key]
        assert torch.count_nonzero(a[0]) == torch.count_nonzero(b[0]) == 0
        assert torch.count_nonzero(a[small, :, 2:]) == torch.count_nonzero(b[small, 2:]) == 0
        if key.startswith("layer_0"):  # where "small" has no LoRA at all
            assert torch.count_nonzero(a[small]) == torch.count_nonzero(b[small]) == 0
    for name, before in adapters.items():
        after = stack.adapter(name)
        assert set(after.matrices) == set(before.matrices)
        assert all(
            not torch.equal(new, old)
            for place in before.matrices
            for new, old in zip(after.matrices[place], before.matrices[place], strict=True)
        )


# The stack itself


def test_adapter_gives_back_what_went_in_as_a_copy(
    tiny_encoder: Encoder, random_adapter: Any
) -> None:
    adapters = various(tiny_encoder, random_adapter)
    stack = LoraStack(tiny_encoder, adapters)
    for name, want in adapters.items():
        got = stack.adapter(name)
        assert (got.rank, got.alpha, got.rslora) == (want.rank, want.alpha, want.rslora)
        assert got.matrices.keys() == want.matrices.keys()
        for place, pair in want.matrices.items():
            assert all(map(torch.equal, got.matrices[place], pair))
            assert not any(tensor.requires_grad for tensor in got.matrices[place])
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(1)
    assert torch.equal(got.matrices[place][0], pair[0])


def test_threads_route_one_encoder_at_the_same_time(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    stack = LoraStack(tiny_encoder, various(tiny_encoder, random_adapter))
    batch = random_batch(tiny_encoder, [6, 4])
    names = ["all", "wide"]
    want = {name: run(tiny_encoder, stack, [name], batch) for name in names}
    with torch.no_grad():
        bare = tiny_encoder.states(*batch)
    inside = threading.Barrier(len(names) + 1)
    got: dict[str, list[Tensor]] = {}

    def work(name: str) -> None:
        with torch.no_grad(), stack.route(stack.slots([name])):
            inside.wait(timeout=20)  # every route is open before any forward starts
            got[name] = [tiny_encoder.states(*batch) for _ in range(5)]

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    inside.wait(timeout=20)
    with torch.no_grad():
        unrouted = [tiny_encoder.states(*batch) for _ in range(5)]
    for thread in threads:
        thread.join()
    assert all(torch.equal(states, bare) for states in unrouted)
    for name in names:
        assert len(got[name]) == 5
        assert all(torch.equal(states, want[name]) for states in got[name])


def test_a_route_ends_with_its_block_even_on_error(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    batch = random_batch(tiny_encoder, [6, 4])
    with torch.no_grad():
        bare = tiny_encoder.states(*batch)
    stack = LoraStack(tiny_encoder, various(tiny_encoder, random_adapter))
    with pytest.raises(RuntimeError, match="stop"), stack.route(stack.slots(["all"])):
        raise RuntimeError("stop")
    with torch.no_grad():
        assert torch.equal(tiny_encoder.states(*batch), bare)
        with stack.route(stack.slots(["all"])):
            outer = tiny_encoder.states(*batch)
            with stack.route(stack.slots(["none"])):
                assert torch.equal(tiny_encoder.states(*batch), bare)
            assert torch.equal(tiny_encoder.states(*batch), outer)


def test_stacks_of_one_encoder_leave_it_and_each_other_alone(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    names = [name for name, _ in tiny_encoder.model.named_parameters()]
    batch = random_batch(tiny_encoder, [6, 4])
    with torch.no_grad():
        bare = tiny_encoder.states(*batch)
    first = LoraStack(tiny_encoder, {"x": random_adapter(tiny_encoder, seed=1)})
    want = run(tiny_encoder, first, ["x"], batch)
    second = LoraStack(tiny_encoder, {"x": random_adapter(tiny_encoder, seed=2)})
    assert not torch.equal(run(tiny_encoder, second, ["x"], batch), want)
    assert torch.equal(run(tiny_encoder, first, ["x"], batch), want)
    with torch.no_grad():
        assert torch.equal(tiny_encoder.states(*batch), bare)
    assert [name for name, _ in tiny_encoder.model.named_parameters()] == names


def test_a_stack_is_of_one_encoder(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    """Another one, even a copy, may run while its adapters are on."""
    batch = random_batch(tiny_encoder, [6, 4])
    stack = LoraStack(tiny_encoder, {"x": random_adapter(tiny_encoder)})
    other = copy.deepcopy(tiny_encoder)
    with torch.no_grad():
        want = other.states(*batch)
        with stack.route(stack.slots(["x"])):
            assert torch.equal(other.states(*batch), want)
            assert not torch.equal(tiny_encoder.states(*batch), want)


def test_stacks_that_no_one_needs_are_gone(
    tiny_encoder: Encoder, random_adapter: Any, random_batch: Any
) -> None:
    stack = LoraStack(tiny_encoder, {"x": random_adapter(tiny_encoder)})
    run(tiny_encoder, stack, ["x"], random_batch(tiny_encoder, [6, 4]))
    watched = weakref.ref(stack)
    hooks = [len(module._forward_hooks) for module in tiny_encoder.model.modules()]
    del stack
    gc.collect()
    assert watched() is None
    LoraStack(tiny_encoder, {"x": random_adapter(tiny_encoder)})
    assert [len(module._forward_hooks) for module in tiny_encoder.model.modules()] == hooks


def test_a_stack_of_nothing_is_the_bare_encoder(tiny_encoder: Encoder, random_batch: Any) -> None:
    batch = random_batch(tiny_encoder, [6, 4])
    stack = LoraStack(tiny_encoder, {})
    assert list(stack.parameters()) == []
    with torch.no_grad():
        assert torch.equal(run(tiny_encoder, stack, ["none"], batch), tiny_encoder.states(*batch))


def test_a_fresh_adapter_changes_nothing_and_follows_its_seed(
    tiny_encoder: Encoder, random_batch: Any
) -> None:
    batch = random_batch(tiny_encoder, [6, 4])
    fresh = [LoraAdapter.fresh(tiny_encoder, 2, 4, 8.0, seed=seed) for seed in (0, 0, 1)]
    stack = LoraStack(tiny_encoder, {"x": fresh[0]})
    with torch.no_grad():
        assert torch.equal(run(tiny_encoder, stack, ["x"], batch), tiny_encoder.states(*batch))
    for place, (a, b) in fresh[0].matrices.items():
        assert torch.count_nonzero(b) == 0
        assert torch.equal(a, fresh[1].matrices[place][0])
        assert not torch.equal(a, fresh[2].matrices[place][0])
        # PEFT's Kaiming draw with a = sqrt(5) is uniform within 1 / sqrt(d_in).
        assert 0.8 / a.shape[0] ** 0.5 < a.abs().max() <= 1 / a.shape[0] ** 0.5
    assert fresh[0].layers == [1, 2]
    assert fresh[0].targets == list(TARGETS)


@pytest.mark.parametrize(
    ("rank", "alpha", "rslora", "scaling"), [(4, 8.0, False, 2.0), (4, 8.0, True, 4.0)]
)
def test_scaling(rank: int, alpha: float, rslora: bool, scaling: float) -> None:
    assert LoraAdapter(rank, alpha, {}, rslora).scaling == pytest.approx(scaling)


def test_unknown_slots_name_the_nearest(tiny_encoder: Encoder, random_adapter: Any) -> None:
    stack = LoraStack(tiny_encoder, {"calendar": random_adapter(tiny_encoder)})
    with pytest.raises(UserError, match=r"no adapter 'calender' .*did you mean 'calendar'"):
        stack.slots(["none", "calender"])
    with pytest.raises(UserError, match="did you mean 'calendar'"):
        stack.adapter("Calendar")


def test_none_is_not_an_adapter(tiny_encoder: Encoder, random_adapter: Any) -> None:
    with pytest.raises(UserError, match="'none'"):
        LoraStack(tiny_encoder, {"none": random_adapter(tiny_encoder)})
    with pytest.raises(UserError, match="'none' is the bare backbone"):
        LoraStack(tiny_encoder, {}).adapter("none")


def test_unknown_targets_name_the_nearest(tiny_encoder: Encoder) -> None:
    with pytest.raises(UserError, match="'querry' is unknown; did you mean 'query'"):
        LoraAdapter.fresh(tiny_encoder, 1, 2, 2.0, ["querry"])


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_outside_the_encoder_is_an_error(tiny_encoder: Encoder, k: int) -> None:
    message = f"k {k}: the encoder has 3 layers; choose 1 to 3"
    with pytest.raises(UserError, match=re.escape(message)):
        LoraAdapter.fresh(tiny_encoder, k, 2, 2.0)


# Groups of tokens, in texts without padding


@pytest.mark.parametrize("names", [["ner"], ["ner", "tc"], ["tc", "none", "ner"]])
def test_groups_of_tokens_equal_one_adapter_at_a_time(
    tiny_encoder: Encoder, random_adapter: Any, names: list[str]
) -> None:
    """States and gradients: each group of packed texts as if it ran alone, with padding."""
    adapters = {n: random_adapter(tiny_encoder, seed=i) for i, n in enumerate(("ner", "tc"))}
    stack = LoraStack(tiny_encoder, adapters)
    tiny_encoder.model.requires_grad_(False)
    rng = np.random.default_rng(0)
    groups = [[rng.integers(5, 90, n) for n in rng.integers(2, 9, 3)] for _ in names]

    def gradients_of(loss: Tensor) -> list[Tensor]:
        stack.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in stack.parameters() if p.grad is not None]

    texts = [text for group in groups for text in group]
    with stack.route(stack.slots(names), [sum(map(len, group)) for group in groups]):
        together, _ = tiny_encoder.packed(texts)
    found = gradients_of(together.square().sum())

    losses, at = [], 0
    for name, group in zip(names, groups, strict=True):
        with stack.route(stack.slots([name])):
            states = tiny_encoder.states(*pad(group, 0))
        for i, text in enumerate(group):
            close(together[at, : len(text)], states[i, : len(text)])
            losses.append(states[i, : len(text)].square().sum())
            at += 1
    for mine, theirs in zip(found, gradients_of(torch.stack(losses).sum()), strict=True):
        assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_no_gradient_is_copied_for_groups_of_tokens(
    tiny_encoder: Encoder, random_adapter: Any
) -> None:
    """What autograd does for a view that is written into costs a third of a training step."""
    stack = LoraStack(tiny_encoder, {"ner": random_adapter(tiny_encoder)})
    tiny_encoder.model.requires_grad_(False)
    with stack.route(stack.slots(["ner"]), [7]):
        states, _ = tiny_encoder.packed([[5, 6, 7], [8, 9, 10, 11]])
    seen, left = set(), [states.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            left += [before for before, _ in node.next_functions]
    names = [node.name() for node in seen]
    assert names.count("_AddLoraBackward") == len(stack.a)
    assert not {"CopySlices", "AsStridedBackward0"} & set(names)


def test_groups_of_tokens_must_cover_the_batch(tiny_encoder: Encoder, random_adapter: Any) -> None:
    stack = LoraStack(tiny_encoder, {"ner": random_adapter(tiny_encoder)})
    with stack.route(stack.slots(["ner"]), [3]), pytest.raises(RuntimeError, match="split"):
        tiny_encoder.packed([[5, 6, 7, 8]])


# What enters a layer for every group


@pytest.mark.parametrize("targets", [TARGETS, ("key",), ("ffn_up",), ("query", "ffn_down")])
@pytest.mark.parametrize("names", [["none", "ner", "tc"], ["tc", "ner"], ["ner"]])
def test_what_enters_for_every_group_goes_through_a_layer_s_maps_once(
    tiny_encoder: Encoder, random_adapter: Any, names: list[str], targets: tuple[str, ...]
) -> None:
    kinds = [("ner", 2, TARGETS), ("tc", 3, targets)]
    adapters = {
        name: random_adapter(tiny_encoder, k=2, rank=rank, seed=rank, targets=of)
        for name, rank, of in kinds
    }
    stack = LoraStack(tiny_encoder, adapters)
    tokens: dict[str, int] = {}
    for target in TARGETS:

        def count(_module: Any, inputs: Any, _output: Any, target: str = target) -> None:
            tokens[target] = inputs[0].shape[:-1].numel()

        tiny_encoder.linear(1, target).register_forward_hook(count)
    texts = [[5, 6, 7], [8, 9, 10, 11, 12]]
    with torch.no_grad():
        hidden = tiny_encoder.run_packed(tiny_encoder.embed_packed(texts), [3, 5], 0, 1)
        packs = hidden.expand(len(names), -1, -1)
        with stack.route(stack.slots(names), shared_input=1):
            together = tiny_encoder.run_packed(packs, [3, 5], 1, 3)
        for target in TARGETS:
            assert tokens[target] == 8 * (1 if target in ("query", "key", "value") else len(names))
        for name, found in zip(names, together, strict=True):
            with stack.route(stack.slots([name])):
                close(found, tiny_encoder.run_packed(hidden, [3, 5], 1, 3))
    if len(names) > 1:
        assert (together[0] - together[1]).abs().max() > 1e-3
