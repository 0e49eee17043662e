"""What all tests share."""

import os

import hypothesis
import pytest

from edgebit.record import Shape

# No time limit on a single example: on a busy machine or a small board, any of them may have to wait. Half of the usual
# number of them, for every run takes others; a property that needs more says so.
# CI tries the same examples each time, so that it tells about a change and not about luck; elsewhere they are new ones.
hypothesis.settings.register_profile("edgebit", deadline=None, max_examples=50, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("edgebit")


@pytest.fixture(scope="module", autouse=True)
def shapes_given_back():
    """Property tests make field names up; left in the table of interned shapes, they would fill it for other tests."""
    before = dict(Shape._interned)
    yield
    Shape._interned.clear()
    Shape._interned.update(before)
