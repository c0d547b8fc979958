"""Backbones, apps and bundles on the Hugging Face hub: ``owner/name``, or ``owner/name@revision``.

``HF_ENDPOINT`` names another hub, ``HF_TOKEN`` or ``hf auth login`` says who you are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onetrunk.errors import UserError
from onetrunk.kinds import kind_of
from onetrunk.replacing import finish_replacing
from onetrunk.storage import read_json

_NAME = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
APP = "app.json"


def is_hub_name(name: str | os.PathLike[str]) -> bool:
    """Whether this names a repository of the hub: its form is right, and no file or folder here is
    meant."""
    path = Path(name)
    finish_replacing(path)
    return bool(_NAME.fullmatch(os.fspath(name))) and not path.exists() and not path.parent.is_dir()


def fetched(name: str | os.PathLike[str]) -> Path:
    """The folder of a backbone, app or bundle; one of the hub is downloaded to the hub's cache.

    A download that was interrupted goes on. Raises :class:`UserError` if the hub does not have it.
    """
    if not is_hub_name(name):
        return Path(name)
    from huggingface_hub import snapshot_download

    repo, revision = _parts(os.fspath(name))
    with _faults(repo, revision):
        return Path(snapshot_download(repo, revision=revision))


def fetched_if(record: str, name: str | os.PathLike[str]) -> Path:
    """:func:`fetched`, of a repository that has the file ``record``; any other name as it is."""
    if not is_hub_name(name):
        return Path(name)
    from huggingface_hub import HfApi, try_to_load_from_cache

    repo, revision = _parts(os.fspath(name))
    try:
        has_record = HfApi().file_exists(repo, record, revision=revision)
    except Exception:  # offline, no network, no such repository: classes of several libraries
        cached = try_to_load_from_cache(repo, record, revision=revision)
        return Path(cached).parent if isinstance(cached, str) else Path(name)
    return fetched(name) if has_record else Path(name)


def push_to_hub(
    folder: str | Path,
    repo: str,
    *,
    private: bool = False,
    branch: str | None = None,
    backbone: str | None = None,
    token: str | None = None,
) -> str:
    """Upload a backbone, app or bundle folder as ``repo`` (``owner/name``); return its address.

    The repository is made if it is not there, ``private`` if so wished, and so is ``branch``. Files
    that an interrupted upload has brought there are not sent again. An app finds its backbone by
    the hub's name ``backbone``, which it needs if it was trained on a folder.

    Raises :class:`UserError` for another folder, an app without its backbone's name, and for what
    the hub refuses.

    ```python
    import onetrunk

    onetrunk.push_to_hub("apps/news", "ann/news", backbone="ann/backbone")
    ```
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    folder = Path(folder)
    kind = kind_of(folder)
    if kind not in ("an app", "a bundle", "a backbone"):
        raise UserError(f"{folder} is {kind or 'no folder of onetrunk'}: push an app, a bundle, …")
    if not _NAME.fullmatch(repo) or "@" in repo:
        raise UserError(f"{repo!r} is no name of a repository: write owner/name")
    record = _app_record(folder, backbone) if kind == "an app" else None
    if record is None and backbone is not None:
        raise UserError(f"{folder} is {kind}: only an app names a backbone")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    additions = [
        CommitOperationAdd(
            path.relative_to(folder).as_posix(),
            record if record is not None and path == folder / APP else path,
        )
        for path in files
        if not path.name.startswith(".")
    ]
    api = HfApi(token=token)
    with _faults(repo, branch):
        api.create_repo(repo, private=private, exist_ok=True)
        if branch is not None:
            api.create_branch(repo, branch=branch, exist_ok=True)
        message = f"{kind[0].upper()}{kind[1:]} of onetrunk"
        commit = api.create_commit(repo, additions, commit_message=message, revision=branch)
    return str(commit.repo_url)


def name_of(folder: Path) -> str:
    """What a folder is called: as its repository, if it is in the hub's cache."""
    folder = folder.resolve()
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.rpartition("--")[2]
    return folder.name


def _app_record(folder: Path, backbone: str | None) -> bytes:
    """``app.json`` with the hub's name of the backbone."""
    record: dict[str, Any] = read_json(folder / APP, "an app")
    named = str(record.get("backbone", ""))
    if backbone is not None:
        if not _NAME.fullmatch(backbone):
            raise UserError(f"backbone {backbone!r} is no name at the hub: write owner/name")
        record["backbone"] = backbone
    elif not named or named.startswith(".") or (folder / named).exists():
        raise UserError(
            f"{folder} was trained on {named or 'a backbone without a name'}, which others do not "
            "have: push the backbone too, and name it as backbone (--backbone owner/name)"
        )
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()


def _parts(name: str) -> tuple[str, str | None]:
    match = _NAME.fullmatch(name)
    assert match is not None  # is_hub_name was asked
    return match["repo"], match["revision"]


@contextmanager
def _faults(repo: str, revision: str | None) -> Iterator[None]:
    """What the hub answers and what the network does, as one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError:
        raise UserError(f"{repo} has no revision {revision!r} at the hub") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"the hub has no {repo}, or hides it from you: check the name, or log in "
            "(`hf auth login`, or HF_TOKEN)"
        ) from None
    except errors.LocalEntryNotFoundError:
        raise UserError(
            f"{repo}: the hub could not be reached, and its cache does not hold it"
        ) from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no"
        told = _line(error.server_message or "")
        raise UserError(
            f"{repo}: the hub refused this (status {status}){': ' * bool(told)}{told}"
        ) from None
    except errors.HTTPError as error:  # type: ignore[attr-defined]  # of its HTTP client
        raise UserError(
            f"{repo}: the connection to the hub broke off ({_line(error)}): start it again, and it "
            "goes on"
        ) from None
    except RuntimeError as error:  # one of the files of an upload
        raise UserError(
            f"{repo}: the upload broke off ({_line(error)} {_line(error.__cause__)}): start it "
            "again, and it goes on"
        ) from None
    except OSError as error:
        raise UserError(f"{repo}: the hub could not be reached: {error}") from None


def _line(message: object) -> str:
    return " ".join(str(message).split())
