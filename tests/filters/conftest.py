"""Every context of a test of filters has a loop, which has sockets: they are closed when the test ends."""

import pytest

from fakes.context import FakeFilterContext


@pytest.fixture(autouse=True)
def closed_loops():
    yield
    while FakeFilterContext.made:
        FakeFilterContext.made.pop().loop.close()
