"""Formats cbor and cbor_rows: CBOR (RFC 8949), smaller than JSON and with nothing lost on the way.

cbor is an array of maps, one a record, the date first; any consumer of CBOR can take it. cbor_rows sends what the
buffers hold, byte for byte, in an envelope that says whose records these are; docs/cbor-rows.md is its full story.
In both, text that was not UTF-8 becomes a byte string with its bytes, and NaN and infinities stay what they are.
"""

from __future__ import annotations

from edgebit.formats.dates import FORMATS
from edgebit.formats.lines import RECORD_OPTIONS
from edgebit.plugin import Format
from edgebit.record import cborable, decode_payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from edgebit.record import Chunk, Record

VERSION = 1  # of the envelope; it changes only if an old reader would misunderstand a message
_MAX_KEYS = 64  # in an envelope; today there are seven


class Cbor(Format):
    """An array of maps, one a record."""

    NAME = "cbor"
    OPTIONS = RECORD_OPTIONS
    content_type = "application/cbor"
    stream = True  # arrays one after the other are a CBOR sequence (RFC 8742)

    def encode(self, chunk: Chunk) -> bytes:
        import cbor2

        records = chunk.records
        if records and [shape for _, shape, _ in records].count(records[0][1]) == len(records):
            body = self._by_columns(records, chunk.seq)
            if body:
                return body
        date, sequence = self.opt.json_date_key, self.opt.sequence_key
        lead = ((date,) if date else ()) + ((sequence,) if sequence else ())
        stamp = FORMATS[self.opt.json_date_format]
        maps: list[dict[str, Any]] = []
        add = maps.append
        last_shape = None
        names: tuple[str, ...] = ()
        for seq, (time_ns, shape, values) in enumerate(records, chunk.seq):
            if shape is not last_shape:
                names = lead + shape.names
                last_shape = shape
            # Of equal names the last value is kept, a field named like the date included.
            if sequence:
                add(dict(zip(names, (stamp(time_ns), seq, *values) if date else (seq, *values))))
            else:
                add(dict(zip(names, (stamp(time_ns), *values) if date else values)))
        try:
            return bytes(cbor2.dumps(maps))
        except (UnicodeEncodeError, cbor2.CBORError):
            return bytes(cbor2.dumps(cborable(maps)))  # text that isn't UTF-8; rare, so it may look at every value

    def _by_columns(self, records: Sequence[Record], first: int) -> bytes:
        """The same bytes for records of one shape, at 40 % of the cost; b"" where that can't be done.

        The message is laid out as text whose characters are its bytes (Latin-1): names and the heads of maps are the
        same in all records, and ASCII text is its own encoding. Only other values are encoded one by one.
        """
        import cbor2

        lead = [name for name in (self.opt.json_date_key, self.opt.sequence_key) if name]
        names = (*lead, *records[0][1].names)
        if len(set(names)) < len(names):
            return b""

        def encoded(value: Any) -> str:
            return cbor2.dumps(value).decode("latin-1")

        stamp = FORMATS[self.opt.json_date_format]
        columns: list[Sequence[Any]] = list(zip(*[values for _, _, values in records]))
        if self.opt.sequence_key:
            columns.insert(0, range(first, first + len(records)))
        if self.opt.json_date_key:
            times = [time_ns for time_ns, _, _ in records]
            stamps = {time_ns: encoded(stamp(time_ns)) for time_ns in set(times)}
            columns.insert(0, [stamps[time_ns] for time_ns in times])
        try:
            # For each record the head of its map; then for each field its name, the head of its value, the value.
            row = [_prefix(0xA0, len(names)), *(part for name in names for part in (encoded(name), "", ""))]
            pieces = row * len(records)
            width = len(row)
            for i, column in enumerate(columns):
                at = 3 * i + 2
                if not i and self.opt.json_date_key:
                    pieces[at::width] = column
                elif _is_ascii(column):
                    pieces[at::width] = [_TEXT_PREFIXES[n] if n < 256 else _prefix(0x60, n) for n in map(len, column)]
                    pieces[at + 1 :: width] = column
                else:
                    pieces[at::width] = [encoded(value) for value in column]
        except (UnicodeEncodeError, cbor2.CBORError):
            return b""  # text that isn't UTF-8
        return (_prefix(0x80, len(records)) + "".join(pieces)).encode("latin-1")


def _is_ascii(column: Sequence[Any]) -> bool:
    """Whether all values are ASCII text."""
    try:
        return "".join(column).isascii()
    except TypeError:
        return False


def _prefix(kind: int, length: int) -> str:
    """The head of a CBOR text, array or map (RFC 8949, 3), as characters of Latin-1."""
    if length < 24:
        return chr(kind + length)
    for more, size in ((24, 1), (25, 2), (26, 4)):
        if length < 1 << 8 * size:
            return chr(kind + more) + length.to_bytes(size, "big").decode("latin-1")
    return chr(kind + 27) + length.to_bytes(8, "big").decode("latin-1")


_TEXT_PREFIXES = [_prefix(0x60, length) for length in range(256)]


class CborRows(Format):
    """The records as the buffer holds them, in an envelope with agent, stream, tag and sequence."""

    NAME = "cbor_rows"
    content_type = "application/cbor"
    stream = True

    def encode(self, chunk: Chunk) -> bytes:
        import cbor2

        envelope = {
            "v": VERSION,
            "agent": self.agents.get(chunk.stream, self.agent_id),
            "stream": chunk.stream or self.stream_id,
            "tag": chunk.tag,
            "seq": chunk.seq,
            "count": chunk.count,
        }
        # A map of seven: its head, six pairs, and "data" with the payload, which is one CBOR item, as it is.
        pairs = b"".join([cbor2.dumps(cborable(item)) for pair in envelope.items() for item in pair])
        return b"".join((b"\xa7", pairs, b"\x64data", chunk.payload))


def decode_rows(message: bytes) -> tuple[dict[str, Any], list[Record]]:
    """The envelope (without "data") and the records of a cbor_rows message. Raises ValueError for anything else.

    Keys that are not known are kept; "data" is always the last.
    """
    try:
        envelope, at = _envelope(message)
        if envelope.get("v") != VERSION:
            raise ValueError(f"version {envelope.get('v')!r}, this reader knows {VERSION}")
        _check(envelope)
        records = decode_payload(message[at:])
        if len(records) != envelope["count"]:
            raise ValueError(f"{len(records)} records where {envelope['count']} were announced")
        for _, shape, values in records:
            if len(values) != len(shape.names) or not all(isinstance(name, str) for name in shape.names):
                raise ValueError("a row that doesn't fit its names")
    except ValueError as error:
        raise ValueError(f"not a cbor_rows message: {error}") from None
    except (OverflowError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a cbor_rows message: {type(error).__name__}") from None
    return envelope, records


def _check(envelope: dict[str, Any]) -> None:
    for key, kind in (("agent", str), ("stream", str), ("tag", str), ("seq", int), ("count", int)):
        if not isinstance(envelope.get(key), kind):
            raise ValueError(f'"{key}" is missing or no {"text" if kind is str else "number"}')


def _envelope(message: bytes) -> tuple[dict[str, Any], int]:
    """The pairs before "data", and where the payload begins.

    The envelope has only text and unsigned numbers, so reading it here takes a few lines, and then the payload can be
    handed on as the bytes it is.
    """
    major, keys, at = _head(message, 0)
    if major != 5 or keys > _MAX_KEYS:
        raise ValueError("no map at its beginning")
    envelope: dict[str, Any] = {}
    for _ in range(keys):
        key, at = _item(message, at)
        if key == "data":
            return envelope, at
        envelope[str(key)], at = _item(message, at)
    raise ValueError("no data")


def _item(message: bytes, at: int) -> tuple[int | str, int]:
    major, size, at = _head(message, at)
    if major == 0:
        return size, at
    if major not in (2, 3):  # a byte string is text that isn't UTF-8
        raise ValueError("something other than text and numbers in the envelope")
    end = at + size
    if end > len(message):
        raise ValueError("cut short")
    return message[at:end].decode("utf-8", "surrogateescape"), end


def _head(message: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and the index behind them (RFC 8949, section 3)."""
    if at >= len(message):
        raise ValueError("cut short")
    major, info = divmod(message[at], 32)
    at += 1
    if info < 24:
        return major, info, at
    if info > 27:
        raise ValueError("an indefinite length in the envelope")
    end = at + (1 << (info - 24))
    if end > len(message):
        raise ValueError("cut short")
    return major, int.from_bytes(message[at:end], "big"), end
