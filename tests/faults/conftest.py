"""What was said is held against the list."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.listed import Fault


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(what, happens, message): a row of the fault list")


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest) -> Iterator[Callable[[object], None]]:
    """Takes what was said; it must hold every part of the message that the list gives."""
    marker = request.node.get_closest_marker("fault")
    row = Fault(*marker.args) if marker else Fault(request.node.name, "")
    heard: list[str] = []

    def check(text: object) -> None:
        heard.append(str(text))
        missing = [part for part in row.message.split("...") if part.strip() not in str(text)]
        assert not missing, f"expected {missing}, was told: {text}"

    yield check
    assert heard or not row.message, "the list gives a message, and the test looked at none"
