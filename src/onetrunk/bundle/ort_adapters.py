"""LoRAs of a bundle as ONNX Runtime's own adapter files.

For programs in C++, C#, Java or Swift that load an adapter with ONNX Runtime and give it to a run,
instead of stacking LoRAs themselves. Such a run has one adapter: ``slots`` is [0], and all inputs
``layer_L.TARGET.a`` and ``.b`` of ``top.onnx`` come from the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from onetrunk.bundle.app import Lora, a_name, b_name, read_lora
from onetrunk.bundle.layout import NONE, PRIMARY, SUFFIX, TOP, Bundle
from onetrunk.bundle.runtime import session
from onetrunk.errors import UserError
from onetrunk.storage import atomic_folder, refuse_existing

ADAPTER = ".onnx_adapter"
VERSION = 1


def write_adapters(bundle: Path, out: Path, overwrite: bool = False) -> list[str]:
    """One file for each LoRA of a bundle: ``NAME`` of an app, ``primary-FAMILY``, and ``none``, the
    bare backbone. Returns the files' names.

    Heads stay where they are, in ``apps/NAME.safetensors``. Raises :class:`UserError` if the
    bundle's graph has no place for LoRA, or ``out`` exists and may not be overwritten.
    """
    refuse_existing(out, overwrite)
    found = Bundle(bundle)
    inputs = session(found.read(TOP), 1, str(bundle / TOP)).get_inputs()
    shapes = {node.name: node.shape for node in inputs}
    loras: dict[str, Lora] = {NONE: {}}
    for family in found.primary:
        path = f"{PRIMARY}/{family}{SUFFIX}"
        loras[f"primary-{family}"] = read_lora(found.read(path), path)
    apps = map(found.app, found.apps)
    loras |= {app.name: app.lora for app in apps if app.lora}
    if not found.k or not found.targets:
        raise UserError(f"{bundle} has no layers that take LoRA: there is nothing to write")
    with atomic_folder(out, overwrite) as folder:
        for name, lora in loras.items():
            # By name and kept till the end: the file reads this memory only as it is written.
            values = {
                key: onnxruntime.OrtValue.ortvalue_from_numpy(array)
                for key, array in _inputs(found, lora, shapes).items()
            }
            file = onnxruntime.AdapterFormat()
            file.set_adapter_version(VERSION)
            file.set_model_version(VERSION)
            file.set_parameters(values)
            file.export_adapter(str(folder / f"{name}{ADAPTER}"))
    return [f"{name}{ADAPTER}" for name in loras]


def _inputs(
    bundle: Bundle, lora: Lora, shapes: Mapping[str, Sequence[int]]
) -> dict[str, np.ndarray]:
    """What the top wants of one LoRA: every place, zero where it has none."""
    rank = max((a.shape[1] for a, _ in lora.values()), default=1)
    found: dict[str, np.ndarray] = {}
    for layer in range(bundle.depth - bundle.k, bundle.depth):
        for target in bundle.targets:
            first, second = a_name(layer, target), b_name(layer, target)
            zero = (
                np.zeros((shapes[first][1], rank), np.float32),
                np.zeros((rank, shapes[second][2]), np.float32),
            )
            a, b = lora.get((layer, target), zero)
            found |= {first: np.ascontiguousarray(a[None]), second: np.ascontiguousarray(b[None])}
    return found
