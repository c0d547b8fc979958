"""A run with an adapter file is a run with the LoRA stacked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from onetrunk.apps.app import App
from onetrunk.bundle.app_cache import AppCache
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.layout import TOP, Bundle
from onetrunk.bundle.ort_adapters import write_adapters
from onetrunk.bundle.sessions import sessions_of
from onetrunk.cli import app as cli
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone


def test_each_lora_as_a_file(tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path) -> None:
    """Apps' own, primary ones and the bare backbone; of fewer layers, fewer maps, other ranks."""
    export_bundle(tiny_backbone, apps, tmp_path / "b", "fp32")
    ran = CliRunner().invoke(
        cli, ["bundle", "adapters", str(tmp_path / "b"), "--out", str(tmp_path / "out")]
    )
    assert ran.exit_code == 0, ran.output
    bundle = Bundle(tmp_path / "b")
    session = onnxruntime.InferenceSession(bundle.read(TOP))
    loaded = AppCache(bundle, sessions_of(bundle, 1), bundle.apps, None).now
    own = [name for name, app in apps.items() if app.adapter is not None]
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted(
        [*own, "none", "primary-ner", "primary-tc"]
    )
    rng = np.random.default_rng(0)
    feeds = {
        "hidden": rng.normal(size=(1, 2, 5, bundle.width)).astype(np.float32),
        "attention_mask": np.array([[[1] * 5, [1, 1, 1, 0, 0]]]),
    }
    for slot, number in loaded.slots.items():
        file = f"primary-{slot}" if slot in bundle.primary_families else slot.removeprefix("app:")
        wanted = session.run(None, {**feeds, "slots": np.array([number]), **loaded.stacked})
        adapter = onnxruntime.LoraAdapter()
        adapter.Load(str(tmp_path / "out" / f"{file}.onnx_adapter"))
        options = onnxruntime.RunOptions()
        options.add_active_adapter(adapter)
        # Below its Python face, which asks for every input to be in the feeds.
        got = session._sess.run(
            [node.name for node in session.get_outputs()],
            {**feeds, "slots": np.array([0])},
            options,
        )
        for one, other in zip(wanted, got, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-5)


def test_nothing_is_overwritten_unasked(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    export_bundle(tiny_backbone, {"spam": apps["spam"]}, tmp_path / "b", "int8")
    write_adapters(tmp_path / "b", tmp_path / "out")
    with pytest.raises(UserError, match="out"):
        write_adapters(tmp_path / "b", tmp_path / "out")
    write_adapters(tmp_path / "b", tmp_path / "out", overwrite=True)
