"""Apps that come into a bundle from their folders, without PyTorch and without their backbone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from onetrunk.apps.app import App, save_app
from onetrunk.apps.neighbours import Neighbours
from onetrunk.apps.record import ADAPTER
from onetrunk.bundle.app import a_name, b_name
from onetrunk.bundle.change import add_apps, add_folders
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.layout import Bundle, app_path
from onetrunk.bundle.runtime import Runtime
from onetrunk.bundle.vocabulary import with_vocabulary_of
from onetrunk.errors import UserError
from onetrunk.families.ner import Ner
from onetrunk.model.backbone import Backbone
from onetrunk.model.peft_files import CONFIG, WEIGHTS
from onetrunk.model.peft_format import load_peft


def saved(apps: dict[str, App], backbone: Backbone, folder: Path) -> list[Path]:
    folders = [folder / name for name in apps]
    for place, app in zip(folders, apps.values(), strict=True):
        place.mkdir(parents=True)
        save_app(app, backbone, place)
    return folders


@pytest.mark.parametrize("precision", ["int8", "int8-text", "int4"])
def test_weights_beyond_16_bits_are_kept(
    tiny_backbone: Backbone, make_app: Any, tmp_path: Path, precision: Any
) -> None:
    """A head has large weights for a state that hardly varies."""
    app = make_app(tiny_backbone, "intent")
    with torch.no_grad():
        app.head.weight[0, 0] = 71807.3
    export_bundle(tiny_backbone, {"intent": app}, tmp_path / "bundle", precision)
    weight = Runtime(tmp_path / "bundle", threads=1).app("intent").weight
    assert weight[0, 0] == np.float32(71807.3)
    np.testing.assert_array_equal(weight, app.head.weight.detach().numpy())


@pytest.mark.parametrize(
    "kind", ["bert", "distilbert", pytest.param("roberta", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_bytes_are_those_that_export_writes(
    make_backbone: Any, make_app: Any, tmp_path: Path, kind: str, precision: Any
) -> None:
    """LoRAs on all maps and on some, of both scalings; heads alone; neighbours; a threshold."""
    backbone = make_backbone(kind)
    names = ("calendar", "dish", "place", "intent", "spam", "flags", "stars", "nested")
    apps = {name: make_app(backbone, name) for name in names}
    states = torch.randn(5, backbone.encoder.width, generator=torch.Generator().manual_seed(0))
    votes = Neighbours.of(states, torch.eye(3)[[0, 1, 2, 2, 0]], 3, 0.2, 0.4)
    apps["spam"] = replace(apps["spam"], neighbours=votes, none_below=0.7)
    exported, changed = tmp_path / "exported", tmp_path / "changed"
    export_bundle(backbone, apps, exported, precision)
    others = {**apps, "spam": make_app(backbone, "spam", seed=3)}
    export_bundle(backbone, others, changed, precision)
    folders = saved(apps, backbone, tmp_path / "apps")
    assert add_folders(changed, [str(folder) for folder in folders]) == [*names]
    for name in names:
        path = app_path(name)
        assert (changed / path).read_bytes() == (exported / path).read_bytes(), name
    assert Bundle(changed).manifest["files"] == Bundle(exported).manifest["files"]


@pytest.mark.parametrize("by_folder", [False, True])
def test_a_bundle_with_another_vocabulary_takes_apps_too(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path, by_folder: bool
) -> None:
    smaller = with_vocabulary_of(tiny_backbone, ["call mum in new york"])
    for name, given in (("all", apps), ("some", {"calendar": apps["calendar"]})):
        export_bundle(tiny_backbone, given, tmp_path / name, smaller=smaller)
    others = {name: app for name, app in apps.items() if name != "calendar"}
    if by_folder:
        add_folders(tmp_path / "some", saved(others, tiny_backbone, tmp_path / "apps"))
    else:
        add_apps(tmp_path / "some", tiny_backbone, others)
    for name in apps:
        path = app_path(name)
        assert (tmp_path / "some" / path).read_bytes() == (tmp_path / "all" / path).read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_adapters_of_any_float(
    tiny_backbone: Backbone,
    apps: dict[str, App],
    tmp_path: Path,
    dtype: torch.dtype,
    change_record: Any,
) -> None:
    export_bundle(tiny_backbone, {"calendar": apps["calendar"]}, tmp_path / "bundle")
    (folder,) = saved({"calendar": apps["calendar"]}, tiny_backbone, tmp_path / "apps")
    change_record(folder)
    tensors = {
        name: tensor.to(dtype) for name, tensor in load_file(folder / ADAPTER / WEIGHTS).items()
    }
    save_file(tensors, folder / ADAPTER / WEIGHTS)
    add_folders(tmp_path / "bundle", [folder])
    found = Bundle(tmp_path / "bundle").app("calendar").lora
    wanted = load_peft(folder / ADAPTER, tiny_backbone.encoder)
    for place, (a, b) in wanted.matrices.items():
        np.testing.assert_array_equal(found[a_name(*place)], a.numpy())
        np.testing.assert_array_equal(found[b_name(*place)], (b * wanted.scaling).numpy())


def test_what_does_not_fit_is_refused(
    tiny_backbone: Backbone,
    apps: dict[str, App],
    random_adapter: Any,
    change_record: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, intent = tmp_path / "bundle", {"calendar": apps["calendar"]}
    export_bundle(tiny_backbone, intent, bundle)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}

    def refused(folder: Path, message: str) -> None:
        with pytest.raises(UserError, match=message):
            add_folders(bundle, [folder])
        assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before

    deep = replace(apps["calendar"], adapter=random_adapter(tiny_backbone.encoder, k=3))
    (folder,) = saved({"deep": deep}, tiny_backbone, tmp_path / "a")
    refused(folder, r"of layer 0; this bundle's graph takes .* layers 1 to 2")
    (folder,) = saved(intent, tiny_backbone, tmp_path / "b")
    change_record(folder)
    config = json.loads((folder / ADAPTER / CONFIG).read_text())
    (folder / ADAPTER / CONFIG).write_text(json.dumps({**config, "use_dora": True}))
    refused(folder, "use_dora = True is not supported")
    (folder / ADAPTER / CONFIG).write_text(json.dumps({**config, "r": 3}))
    refused(folder, r", expected .*: the adapter was made for another encoder than .*bundle")
    (folder / ADAPTER / CONFIG).write_text(json.dumps(config))
    tensors = load_file(folder / ADAPTER / WEIGHTS)
    name = next(name for name in tensors if "lora_A" in name)
    save_file({**tensors, name: tensors[name][:, :-1].contiguous()}, folder / ADAPTER / WEIGHTS)
    refused(folder, r"is \(4, \d+\), expected \(4, \d+\)")
    save_file({**tensors, name: tensors[name][0]}, folder / ADAPTER / WEIGHTS)
    refused(folder, "not a matrix")
    (folder / ADAPTER / WEIGHTS).write_bytes(b"nothing")
    refused(folder, "is damaged")
    (twin,) = saved(intent, tiny_backbone, tmp_path / "c")
    with pytest.raises(UserError, match="two apps are called 'calendar': rename one folder"):
        add_folders(bundle, [folder, twin])
    monkeypatch.setattr(Ner, "decode", lambda *args: None)
    monkeypatch.setattr(Ner, "units", lambda *args: None)
    refused(twin, "family 'ner' has its own units, decode, which a device does not have")
