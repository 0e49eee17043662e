"""What all tests of parsers share."""

import pytest

from edgebit.record import Shape


@pytest.fixture(scope="module", autouse=True)
def shapes_given_back():
    """Property tests make field names up; left in the table of interned shapes, they would fill it for other tests."""
    before = dict(Shape._interned)
    yield
    Shape._interned.clear()
    Shape._interned.update(before)
