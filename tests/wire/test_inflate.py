"""Unpacking, run three ways: whole, a byte at a time, with bytes left over."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebit.wire.inflate import Inflate

TEXT = b"forwarding " * 300


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


FORMS = {"gzip": gzip.compress(TEXT), "zlib": zlib.compress(TEXT), "bare": raw_deflate(TEXT),
         "members": gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])}  # fmt: skip


@pytest.mark.parametrize("packed", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_every_form_in_pieces(packed, piece):
    inflate = Inflate(len(TEXT))
    out = b"".join(inflate.feed(packed[at : at + piece]) for at in range(0, len(packed), piece))
    inflate.finish()
    assert out == TEXT


@pytest.mark.parametrize("packed", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("piece", [1, 100_000])
def test_cut_short(packed, piece):
    inflate = Inflate(len(TEXT))
    for at in range(0, len(packed) - 1, piece):
        inflate.feed(packed[at : min(at + piece, len(packed) - 1)])
    with pytest.raises(ValueError, match="in the middle"):
        inflate.finish()


@pytest.mark.parametrize("piece", [1, 100_000])
def test_bytes_left_over_are_not_a_member(piece):
    packed = FORMS["gzip"] + b"left over"
    inflate = Inflate(len(TEXT))
    with pytest.raises(ValueError, match="header"):
        [inflate.feed(packed[at : at + piece]) for at in range(0, len(packed), piece)]


@pytest.mark.parametrize("piece", [1, 1000, 100_000_000])
def test_bomb_gives_one_byte_more_than_the_limit(piece):
    packed = gzip.compress(b"\0" * 3_000_000)
    inflate = Inflate(10_000)
    out = b"".join(inflate.feed(packed[at : at + piece]) for at in range(0, len(packed), piece))
    assert len(out) == 10_001


def test_just_the_limit():
    inflate = Inflate(len(TEXT))
    assert inflate.feed(FORMS["gzip"]) == TEXT
    inflate.finish()


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_noise_never_raises_anything_else(data, piece):
    inflate = Inflate(5000)
    try:
        for at in range(0, len(data), piece):
            inflate.feed(data[at : at + piece])
        inflate.finish()
    except ValueError:
        pass
