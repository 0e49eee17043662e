"""Fakes, not mocks: small working stand-ins for the clock, the loop's waiting, and what a plugin may ask for."""

from fakes.clock import FakeClock, fake_loop
from fakes.context import FakeContext

__all__ = ["FakeClock", "FakeContext", "fake_loop"]
