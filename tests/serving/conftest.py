from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from onetrunk.bundle.runtime import Runtime
from onetrunk.serving.api import create_app
from onetrunk.serving.settings import Limits

FORMAT_0_1 = Path(__file__).parents[1] / "fixtures" / "format-0.1"
TOKEN = "a token that nobody guesses"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with five apps, free to change."""
    shutil.copytree(FORMAT_0_1 / "bundle", tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    """The runtime of such a bundle."""
    return Runtime(FORMAT_0_1 / "bundle", threads=1)


@pytest.fixture
def serve(runtime: Runtime) -> Iterator[Callable[..., TestClient]]:
    """``serve(model, limits={...}, **options)``: a client of a service in this process."""
    with ExitStack() as stack:

        def start(model: Any = None, limits: dict[str, Any] | None = None, **options: Any) -> Any:
            app = create_app(model or runtime, limits=Limits(**(limits or {})), **options)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture
def changeable(serve: Callable[..., TestClient], bundle: Path) -> TestClient:
    """A client that may change the apps of ``bundle``."""
    client = serve(Runtime(bundle, threads=1), bundle=bundle, token=TOKEN)
    client.headers["authorization"] = f"Bearer {TOKEN}"
    return client
