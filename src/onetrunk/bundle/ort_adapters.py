"""LoRAs of a bundle as ONNX Runtime's own adapter files.

They are for programs in C++, C#, Java or Swift that load an adapter with ONNX Runtime and pass it
to a run, and do not stack LoRAs themselves. Such a run has one adapter: ``slots`` is [0], and all
inputs ``layer_L.TARGET.a`` and ``.b`` of ``top.onnx`` come from the file.
"""

from pathlib import Path

import onnxruntime

from onetrunk import kinds
from onetrunk.bundle.app import Lora
from onetrunk.bundle.layout import NONE, TOP, Bundle
from onetrunk.bundle.sessions import session, stack_loras
from onetrunk.errors import UserError
from onetrunk.storage import atomic_folder, refuse_existing

ADAPTER = ".onnx_adapter"
VERSION = 1


def write_adapters(folder: str | Path, out: str | Path, overwrite: bool = False) -> list[str]:
    """Write one file for each LoRA of a bundle: ``NAME`` of an app, ``primary-FAMILY``, and
    ``none``, the bare backbone. Returns the files' names.

    Heads stay where they are, in ``apps/NAME.safetensors``. Raises :class:`UserError` if the
    bundle's graph has no place for LoRA, or ``out`` exists and may not be overwritten.
    """
    out = Path(out)
    refuse_existing(out, overwrite, kinds.ORT_ADAPTERS)
    bundle = Bundle(folder)
    if not bundle.k or not bundle.targets:
        raise UserError(f"{folder} has no layers that take LoRA: there is nothing to write")
    inputs = session(bundle.read(TOP), 1, str(bundle.folder / TOP)).get_inputs()
    shapes = {node.name: node.shape for node in inputs}
    loras: dict[str, Lora] = {NONE: {}}
    for family in bundle.primary_families:
        loras[f"primary-{family}"] = bundle.primary_lora(family)
    loras |= {app.name: app.lora for app in map(bundle.app, bundle.apps) if app.lora}
    with atomic_folder(out, overwrite, kinds.ORT_ADAPTERS) as written:
        for name, lora in loras.items():
            # A variable keeps the values in memory: the file reads them only when it is written.
            values = {
                key: onnxruntime.OrtValue.ortvalue_from_numpy(array)
                for key, array in stack_loras(shapes, [lora]).items()
            }
            file = onnxruntime.AdapterFormat()
            file.set_adapter_version(VERSION)
            file.set_model_version(VERSION)
            file.set_parameters(values)
            file.export_adapter(str(written / f"{name}{ADAPTER}"))
    return [f"{name}{ADAPTER}" for name in loras]
