"""What ``app.json`` says of an app and its backbone, checked without PyTorch and before weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onetrunk.errors import UserError
from onetrunk.hub import name_of
from onetrunk.records import Values, are_texts, check_record, is_count, is_text
from onetrunk.sealing import are_files, check_seal
from onetrunk.storage import read_json

RECORD = "app.json"
ADAPTER = "adapter"
"""An app folder's own folder with its LoRA. Beside ``app.json`` it would make transformers take the
app for a model, and answer with a head that nobody trained."""


TOKENS = "tokens_sha256"
"""The key of ``app.json`` that says how its backbone's tokenizer cuts words; apps of 0.1.0 lack
it."""
LEARNT = "train_texts_sha256"
"""The key of ``app.json`` with a hash of all training texts together."""
LOOSE = ("backbone",)
"""Keys of ``app.json`` that may change when a folder is moved."""


_VALUES: Values = {
    "family": ("a name", is_text),
    "labels": ("a list of texts", lambda value: are_texts(value) and bool(value)),
    "adapter": ("lora or linear", lambda value: value in ("lora", "linear")),
    "primary": ("a name", is_text),
    "max_length": ("a number of tokens", is_count),
    "fingerprint": ("a hash", is_text),
}
"""Required keys of app.json: for each, its description in error messages, and a test."""
_OTHERS: Values = {
    TOKENS: ("a hash", is_text),
    LEARNT: ("a hash", is_text),
    "reads": ("a number of layers", is_count),
    "units": ("a name", is_text),
    "neighbours": ("numbers by name", lambda value: value is None or isinstance(value, dict)),
    "backbone": ("a name", lambda value: value is None or isinstance(value, str)),
    "files": ("files by name, each with bytes and sha256", are_files),
}
"""Optional keys, in the same form; apps of 0.1.0 lack them."""


def read_record(folder: Path) -> dict[str, Any]:
    """An app folder's ``app.json``, checked: every app's keys, their types, and its seal."""
    path = folder / RECORD
    record = read_json(path, "an app folder")
    check_record(record, path, _VALUES, _OTHERS)
    check_seal(record, path, LOOSE)
    return record


def adapter_folder(folder: Path) -> Path:
    """Where an app folder has its LoRA."""
    inner = folder / ADAPTER
    return inner if inner.is_dir() else folder  # of apps of 0.1.0


def by_name(folders: Sequence[str | Path]) -> dict[str, Path]:
    """App folders by their names, which are the apps'. Raises :class:`UserError` for two of one
    name."""
    named: dict[str, Path] = {}
    for folder in map(Path, folders):
        name = name_of(folder)
        if name in named:
            raise UserError(f"two apps are called {name!r}: rename one folder ({folder})")
        named[name] = folder
    return named


def family_of(record: dict[str, Any]) -> str:
    """The name of an app's family."""
    # Before multi-label was a family of its own, an app said so beside its family.
    return "multi-label" if record.get("multi_label") else str(record["family"])


def backbone_of(folder: Path) -> str:
    """The backbone that an app folder names: a folder's path, or the name of an encoder."""
    named = read_record(folder).get("backbone")
    if not named:
        raise UserError(
            f"{folder}/app.json names no backbone: pass one as backbone (--backbone FOLDER)"
        )
    local = (folder / named).resolve()
    if local.is_dir():
        return str(local)
    if named.startswith("."):
        raise UserError(
            f"{folder} was trained on {local}, which is gone: name its new place as backbone "
            "(--backbone FOLDER)"
        )
    return str(named)


def check_apps(
    folders: Sequence[Path], backbone: str | Path | None = None, device: str = "cpu"
) -> str:
    """The name of the backbone that apps run on: ``backbone``, or the one that the first names.

    Raises :class:`UserError` if there is no app, for a folder that is no app, for a backbone that
    is not there, for an app of another one, as far as their records say, and for a device that is
    not there.
    """
    # Not at the top: the hub's client takes long to import, and bundles have no use for it.
    from onetrunk.hub import fetched_if
    from onetrunk.model.place import RECORD as BACKBONE
    from onetrunk.model.place import check_device, locate_model

    if not folders:
        raise UserError("no apps: pass app folders")
    check_device(device)
    records = [read_record(folder) for folder in folders]
    name = str(backbone or backbone_of(folders[0]))
    place = fetched_if(BACKBONE, name)
    if not (place / BACKBONE).exists():
        place = Path(locate_model(name, "backbone"))
    if (place / BACKBONE).exists():
        fingerprint = read_json(place / BACKBONE, "a backbone").get("fingerprint")
        for folder, record in zip(folders, records, strict=True):
            if fingerprint and record["fingerprint"] != fingerprint:
                raise other_backbone(str(folder), record, name, str(fingerprint))
    return name


def other_backbone(app: str, record: dict[str, Any], backbone: str, fingerprint: str) -> UserError:
    """The error for an app that was trained on another backbone than this one."""
    trained_on = record.get("backbone", "another backbone")
    return UserError(
        f"app {app} was trained on {trained_on} ({record['fingerprint'][:12]}), not on {backbone} "
        f"({fingerprint[:12]}): name its own backbone, or train it again on this one"
    )
