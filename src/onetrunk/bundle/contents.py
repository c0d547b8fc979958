"""From a backbone and apps in PyTorch to the contents of a bundle's files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import onnx

from onetrunk.apps.app import App
from onetrunk.bundle import int4, int8
from onetrunk.bundle.app import BundledApp, Lora, a_name, b_name
from onetrunk.bundle.app_folder import decoder_of
from onetrunk.bundle.graph import top_graph, top_graph_of_one, trunk_graph
from onetrunk.bundle.layout import OF_ONE
from onetrunk.model.architecture import TARGETS
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder
from onetrunk.model.lora import LoraAdapter

Precision = Literal["fp32", "int8", "int8-text", "int4"]
_QUANTIZE: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "fp32": lambda model: model,
    "int8": int8.quantize,
    OF_ONE: int8.quantize_of_one,
    "int4": int4.quantize,
}


def bundled_app(name: str, app: App, backbone: Backbone) -> BundledApp:
    """An app as a bundle holds it. Raises :class:`UserError` if the runtime could not run it."""
    app.check(backbone, name)
    return BundledApp(
        name=name,
        family=app.family.name,
        decoder=decoder_of(name, app.family),
        labels=app.labels,
        head_layers=app.head_layers,
        max_length=app.max_length,
        family_of_primary=app.family_of_primary,
        weight=app.head.weight.detach().cpu().numpy(),
        bias=app.head.bias.detach().cpu().numpy(),
        lora={} if app.adapter is None else lora_of_adapter(app.adapter),
        fingerprint=app.fingerprint,
        units=app.units,
        neighbours=app.neighbours,
        none_below=app.none_below,
    )


def lora_of_adapter(adapter: LoraAdapter) -> Lora:
    """The arrays of an adapter, its scaling in B."""
    lora = {}
    for place, (a, b) in adapter.matrices.items():
        lora[a_name(*place)] = a.detach().cpu().numpy()
        lora[b_name(*place)] = (b * adapter.scaling).detach().cpu().numpy()
    return lora


def top_layers(backbone: Backbone, apps: Mapping[str, App]) -> int:
    """Layers of the top: as many as may carry LoRA, or more if one of these apps needs more."""
    depth = backbone.encoder.depth
    adapted = [depth - adapter.layers[0] for adapter in _adapters(backbone, apps) if adapter.layers]
    return max(backbone.k, *adapted, *(app.head_layers - 1 for app in apps.values()), 0)


def adapted_targets(backbone: Backbone, apps: Mapping[str, App]) -> list[str]:
    """The linear maps that any adapter changes; all, if there is no adapter yet."""
    used = {target for adapter in _adapters(backbone, apps) for target in adapter.targets}
    return [target for target in TARGETS if target in (used or TARGETS)]


def _adapters(backbone: Backbone, apps: Mapping[str, App]) -> list[LoraAdapter]:
    of_apps = [app.adapter for app in apps.values() if app.adapter is not None]
    return [*backbone.primary_loras.values(), *of_apps]


def tokenizer_bytes(encoder: Encoder) -> bytes:
    """``tokenizer.json``, without the length that the tokenizer last truncated or padded to."""
    backend = encoder.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    content: str = backend.to_str()
    return content.encode()


def graphs_of(
    encoder: Encoder, k: int, targets: Sequence[str], precision: Precision
) -> tuple[bytes, bytes]:
    """Trunk and top of a bundle, as files."""
    of_one = precision == OF_ONE
    trunk = trunk_graph(encoder, k, of_one)
    top = (top_graph_of_one if of_one else top_graph)(encoder, k, targets)
    return model_bytes(trunk, precision), model_bytes(top, precision)


def model_bytes(model: onnx.ModelProto, precision: Precision) -> bytes:
    """A graph as a file, with its weights in this precision."""
    content: bytes = _QUANTIZE[precision](model).SerializeToString()
    return content
