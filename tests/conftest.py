"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real abstracts and specifications beside the repository; checks that need them skip where they are absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "data" / "papers.jsonl.gz").exists():
        pytest.skip("the folder ../shared with real abstracts is not here")
    return folder
