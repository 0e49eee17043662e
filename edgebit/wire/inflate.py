"""Unpacks a compressed HTTP body piece by piece, and never to more than a limit: a zip bomb costs what the limit says.

Takes what Content-Encoding gzip and deflate mean (RFC 9110, 8.4.1): gzip files of one or several members (RFC 1952),
zlib streams (RFC 1950), and the bare deflate stream (RFC 1951) that some clients send as "deflate".
"""

from __future__ import annotations

import zlib

_ANY_HEADER = 47  # window bits: gzip or zlib, whichever the first byte says
_NO_HEADER = -15
_GZIP_MAGIC, _ZLIB_METHOD = 0x1F, 8  # first byte; its low four bits


class Inflate:
    """`feed` gives at most `limit` bytes and one over its whole life: the one more tells that there was too much."""

    def __init__(self, limit: int) -> None:
        self._left = limit + 1
        self._zlib = zlib.decompressobj(_ANY_HEADER)
        self._started = False

    def feed(self, data: bytes | bytearray) -> bytes:
        """What these bytes unpack to. Raises ValueError if they are not packed data, or no longer."""
        out = []
        while data and self._left > 0:
            if not self._started and data[0] != _GZIP_MAGIC and data[0] & 0x0F != _ZLIB_METHOD:
                self._zlib = zlib.decompressobj(_NO_HEADER)
            self._started = True
            try:
                piece = self._zlib.decompress(data, self._left)
            except zlib.error as error:
                raise ValueError(str(error)) from None
            self._left -= len(piece)
            out.append(piece)
            data = self._zlib.unused_data
            if data:
                self._zlib = zlib.decompressobj(_ANY_HEADER)  # the next member
        return b"".join(out)

    def finish(self) -> None:
        """The packed data has ended. Raises ValueError if that was too early."""
        if not self._zlib.eof:
            raise ValueError("it ends in the middle")
