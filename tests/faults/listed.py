"""The fault list: what goes wrong, what happens then, and what is said. Each row stands on a test that makes it so."""

import os
from typing import NamedTuple

import pytest

ALL = os.environ.get("SEMCSE_FAULTS") == "all"
"""Whether the long ones run too: kills at random points, ten million rows."""
long = pytest.mark.skipif(not ALL, reason="minutes long; SEMCSE_FAULTS=all runs it")
linux = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="makes the fault with Linux's means")


class Fault(NamedTuple):
    """A row of the list; `...` in a message stands for the part that differs."""

    what: str
    happens: str
    message: str = ""


def fault(what: str, happens: str, message: str = "") -> pytest.MarkDecorator:
    """Marks the test behind a row. One with a message calls the fixture `told` with what was said."""
    return pytest.mark.fault(*Fault(what, happens, message))


ELSEWHERE: dict[str, Fault] = {}
"""Faults that other tests make, by the test's name."""
