"""LoRAs of a bundle as ONNX Runtime's own adapter files.

For programs in C++, C#, Java or Swift that load an adapter with ONNX Runtime and give it to a run,
instead of stacking LoRAs themselves. Such a run has one adapter: ``slots`` is [0], and all inputs
``layer_L.TARGET.a`` and ``.b`` of ``top.onnx`` come from the file.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from onetrunk.bundle.app import Lora
from onetrunk.bundle.app_cache import stack_loras
from onetrunk.bundle.layout import NONE, TOP, Bundle
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
    if not found.k or not found.targets:
        raise UserError(f"{bundle} has no layers that take LoRA: there is nothing to write")
    inputs = session(found.read(TOP), 1, str(bundle / TOP)).get_inputs()
    shapes = {node.name: node.shape for node in inputs}
    loras: dict[str, Lora] = {NONE: {}}
    loras |= {f"primary-{family}": found.primary_lora(family) for family in found.primary_families}
    apps = map(found.app, found.apps)
    loras |= {app.name: app.lora for app in apps if app.lora}
    with atomic_folder(out, overwrite) as folder:
        for name, lora in loras.items():
            # By name and kept till the end: the file reads this memory only as it is written.
            values = {
                key: onnxruntime.OrtValue.ortvalue_from_numpy(array)
                for key, array in stack_loras(found, shapes, [lora]).items()
            }
            file = onnxruntime.AdapterFormat()
            file.set_adapter_version(VERSION)
            file.set_model_version(VERSION)
            file.set_parameters(values)
            file.export_adapter(str(folder / f"{name}{ADAPTER}"))
    return [f"{name}{ADAPTER}" for name in loras]
