"""Format raw: one text made of each record, such as its ``$log``, a line each.

The text is a template of record accessors as Fluent Bit has them: ``$key``, ``$key['sub'][0]``, ``$TAG``, ``$TAG[1]``
(a part of the tag) and other text around them. Text is written as it is, maps and lists as JSON. A field that is not
there adds nothing; a record without any of the fields is written whole, as JSON, so that it isn't lost.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring

from edgebit.formats.cells import utf8
from edgebit.formats.json import writer
from edgebit.options import REQUIRED, Option, string
from edgebit.plugin import Format
from edgebit.record_accessor import MISSING, Accessor, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.options import Options
    from edgebit.record import Chunk, Record

_TAG = re.compile(r"\$TAG(?:\[([0-9]{1,3})\])?")
_START = re.compile(r"\$(?=[A-Za-z_])")
_json = writer(encode_basestring)


def plain(value: Any) -> str:
    """A value as text: text as it is, maps and lists as JSON."""
    if isinstance(value, str):
        return value
    return f"{value:f}" if isinstance(value, float) else _json(value)


def pieces(template: str) -> list[str | int | Accessor | None]:
    """Text, parts of the tag (None: all of it) and fields. Raises BadValue."""
    found: list[str | int | Accessor | None] = []
    at = 0
    for match in _START.finditer(template):
        if match.start() < at:
            continue  # within the one before
        found.append(template[at : match.start()])
        tag = _TAG.match(template, match.start())
        if tag is not None:
            found.append(None if tag[1] is None else int(tag[1]))
            at = tag.end()
        else:
            accessor, rest = split(template[match.start() :])
            found.append(accessor)
            at = len(template) - len(rest)
    found.append(template[at:])
    return [piece for piece in found if piece != ""]


class Raw(Format):
    """A text of each record, a line each."""

    NAME = "raw"
    OPTIONS = (
        Option("raw_message_key", string, REQUIRED, "the text: a field such as $log, or a template with several"),
    )
    content_type = "text/plain"
    stream = True

    def __init__(self, opt: Options, agent_id: str = "", stream_id: str = "") -> None:
        super().__init__(opt, agent_id, stream_id)
        key: str = opt.raw_message_key
        self._pieces = pieces(key if "$" in key else f"${key}")
        if not any(isinstance(piece, Accessor) for piece in self._pieces):
            self._pieces = [Accessor(key)]

    def encode(self, chunk: Chunk) -> bytes:
        return b"".join(self.encode_each(chunk))

    def encode_each(self, chunk: Chunk) -> list[bytes]:
        parts = chunk.tag.split(".")
        around = [self._of_tag(piece, chunk.tag, parts) for piece in self._pieces]
        return [utf8(self._line(record, around)) for record in chunk.records]

    @staticmethod
    def _of_tag(piece: str | int | Accessor | None, tag: str, parts: list[str]) -> str | Accessor:
        if piece is None:
            return tag
        if isinstance(piece, int):
            return parts[piece] if piece < len(parts) else ""
        return piece

    @staticmethod
    def _line(record: Record, around: list[str | Accessor]) -> str:
        out, found = [], False
        for piece in around:
            if isinstance(piece, str):
                out.append(piece)
                continue
            value = piece.get(record)
            if value is not MISSING:
                out.append(plain(value))
                found = True
        return ("".join(out) if found else _json(dict(zip(record[1].names, record[2])))) + "\n"
