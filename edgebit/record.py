"""Record, shape and chunk: what flows through edgebit.

A record is the tuple ``(time_ns, shape, values)``: wall time in nanoseconds since the epoch, the interned tuple of
field names (`Shape`), and a tuple with one value a name. Values are None, bool, int, float, str, list and dict of
these: what JSON and CBOR share. Text that was not valid UTF-8 on arrival is carried as surrogate escapes, so the
original bytes can always be had back with ``.encode("utf-8", "surrogateescape")``.

A chunk is records of one tag with the sequence number of the first. It holds the decoded records, the encoded payload,
or both, and makes either from the other only when asked. Its `size` is what it costs in memory at the moment.

This module knows nothing of buffers, outputs, files or time.
"""

from __future__ import annotations

from itertools import chain
from sys import getsizeof

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Record = tuple[int, "Shape", tuple[Any, ...]]
else:
    Record = tuple

MAX_SHAPES = 4096  # interned for the life of the process; streams with ever new names must not fill the memory


class Shape:
    """The field names that records have in common, in order. Compare with ``is`` only as an optimisation.

    `metadata` is what belongs to the event rather than to its body, as in Fluent Bit's events; nearly always an empty
    dict, and never changed. `cache` holds what formats and filters compile once per shape, keyed by them. Shapes beyond
    MAX_SHAPES are not interned (`interned` is False): nothing should be compiled for them, they are used once and
    forgotten.
    """

    __slots__ = ("cache", "index", "interned", "metadata", "names")
    _interned: dict[object, Shape] = {}

    def __init__(self, names: tuple[str, ...], interned: bool, metadata: dict[str, Any] | None = None) -> None:
        self.names = names
        self.index = {name: i for i, name in enumerate(names)}  # of two equal names the last one wins
        self.interned = interned
        self.metadata = metadata or {}
        self.cache: dict[Any, Any] = {}

    @classmethod
    def of(cls, names: Iterable[str], metadata: dict[str, Any] | None = None) -> Shape:
        """The shape with these field names; a dict gives its keys."""
        names = tuple(names)
        key: object = (names, repr(metadata)) if metadata else names  # repr: equal to the type and the order of keys
        shape = cls._interned.get(key)
        if shape is None:
            room = len(cls._interned) < MAX_SHAPES
            shape = cls(names, room, metadata)
            if room:
                cls._interned[key] = shape
        return shape

    def derive(self, names: Iterable[str]) -> Shape:
        """The shape with these field names and the metadata of this one: what a filter makes of it."""
        return Shape.of(names, self.metadata)

    def __repr__(self) -> str:
        return f"Shape{self.names!r}" if not self.metadata else f"Shape{self.names!r} with {self.metadata!r}"


def from_dict(time_ns: int, fields: dict[str, Any]) -> Record:
    """A record from a plain dict."""
    return (time_ns, Shape.of(fields), tuple(fields.values()))


def to_dict(record: Record) -> dict[str, Any]:
    """The fields of a record as a plain dict; of equal names the last one wins, as in Fluent Bit."""
    return dict(zip(record[1].names, record[2]))


# -- what records cost in memory -------------------------------------------------------------------------------------

_EXACT = 16  # batches up to this many records are measured one by one; larger ones by an even sample of as many or more
_RECORD = 64 + 32 + 8  # the tuple of three, its integer time, the list's slot
_SHARED = (type(None), bool)  # singletons cost their slot only


def _value_size(value: Any) -> int:
    if isinstance(value, str):
        return getsizeof(value) + 8  # malloc rounds up to 16; half of that on average
    if isinstance(value, _SHARED):
        return 0
    if isinstance(value, dict):
        return getsizeof(value) + sum(_value_size(k) + _value_size(v) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return getsizeof(value) + sum(map(_value_size, value))
    return getsizeof(value)


def record_size(record: Record) -> int:
    """Bytes of memory that one decoded record holds, shared parts (its shape) not counted."""
    values = record[2]
    return _RECORD + getsizeof(values) + sum(map(_value_size, values))


def records_size(records: Sequence[Record], raw: int = 0) -> int:
    """Bytes of memory that decoded records hold.

    `raw` is the number of bytes they were read from, if known: a sample could miss the one long line of a batch, the
    raw bytes can't. Cost is per batch: at most 31 records are looked at.
    """
    n = len(records)
    if n <= _EXACT:
        return sum(map(record_size, records))
    sample = records[:: n // _EXACT]
    sampled = sum(map(record_size, sample)) * n // len(sample)
    text = sum(len(v) for r in sample for v in r[2] if type(v) is str) * n // len(sample)
    return sampled + max(0, raw - text)


# -- payload: the encoded form ---------------------------------------------------------------------------------------
#
# CBOR (RFC 8949), one array [base, shapes, rows]: base is the time of the first record in ns; shapes an array of arrays
# of names, with the metadata as a map behind them if there is any; each row [shape index, time - base, value, ...].
# Names are written once a chunk, so a row is smaller than a map and quicker to read back. Text that is not UTF-8 becomes
# a byte string. docs/cbor-rows.md is the full story.


def encode_payload(records: Sequence[Record]) -> bytes:
    """Records to the payload described above."""
    import cbor2

    base = records[0][0] if records else 0
    shapes = {shape: i for i, shape in enumerate(dict.fromkeys([shape for _, shape, _ in records]))}
    rows = [(shapes[shape], time_ns - base, *values) for time_ns, shape, values in records]
    body = [base, [(*shape.names, shape.metadata) if shape.metadata else shape.names for shape in shapes], rows]
    try:
        return bytes(cbor2.dumps(body))
    except (UnicodeEncodeError, cbor2.CBORError):
        # Text that isn't UTF-8. Rare, so the slow path may look at every value.
        return bytes(cbor2.dumps(cborable(body)))


def cborable(value: Any) -> Any:
    """The same value with text that isn't UTF-8 as byte strings."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            try:
                return value.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:  # a surrogate that stands for no byte; JSON's escapes can make one
                return value.encode("utf-8", "surrogatepass")
        return value
    if isinstance(value, (list, tuple)):
        return [cborable(v) for v in value]
    if isinstance(value, dict):
        return {cborable(k): cborable(v) for k, v in value.items()}
    return value


def _textual(value: Any) -> Any:
    """The inverse of `cborable`."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (list, tuple)):
        return [_textual(v) for v in value]
    if isinstance(value, dict):
        return {_textual(k): _textual(v) for k, v in value.items()}
    return value


def _shape(names: list[Any]) -> Shape:
    return Shape.of(names[:-1], names[-1]) if names and type(names[-1]) is dict else Shape.of(names)


def decode_payload(payload: bytes) -> list[Record]:
    """The inverse of encode_payload. Raises ValueError on anything else."""
    import cbor2

    try:
        base, names, rows = cbor2.loads(payload)
        shapes = [_shape(list(map(_textual, n))) for n in names]
        if not _NOT_PLAIN.isdisjoint(map(type, chain.from_iterable(rows))):
            rows = [[index, delta, *map(_textual, values)] for index, delta, *values in rows]
        records = [(base + row[1], shapes[row[0]], tuple(row[2:])) for row in rows]
    except (cbor2.CBORError, TypeError, LookupError) as error:
        raise ValueError(f"not a payload of records: {error}") from None
    return records


_NOT_PLAIN = frozenset((bytes, list, tuple, dict))


class Chunk:
    """Records of one tag; see the module's docstring.

    seq    sequence number of the first record within its stream, from 1; 0 while the chunk still grows
    count  number of records
    size   bytes of memory that it holds now: decoded records, payload, or both
    stream the id of the stream that the sequence number belongs to
    born   monotonic time of the first record, in seconds
    done   called once when nobody needs the records any more or they are durable (see plugin.Receipt)
    marks  where the sources of the records are after them: name -> (position, check)
    place, moment   of a chunk on disk: see buffer/log.py
    """

    OVERHEAD = 200  # bytes: the object itself with its list and callbacks

    __slots__ = ("_decoded_size", "_payload", "_records", "born", "continues", "count", "done", "marks", "moment", "place",
                 "seq", "stream", "tag")  # fmt: skip

    def __init__(self, tag: str, records: list[Record] | None, size: int = 0, seq: int = 0, *,
                 payload: bytes | None = None, count: int = 0, stream: str = "", born: float = 0.0) -> None:  # fmt: skip
        self.tag, self.seq, self.stream, self.born = tag, seq, stream, born
        self.marks: dict[str, tuple[int, int]] | None = None
        self.continues = False  # it ends in the middle of a batch that the next chunk goes on with
        self.place: Any = None
        self.moment: Any = None
        self._records, self._payload = records, payload
        self.count = len(records) if records is not None else count
        self._decoded_size = size if records is not None else 0
        self.done: list[Callable[[], None]] = []

    @property
    def size(self) -> int:
        return self._decoded_size + self.OVERHEAD + (len(self._payload) if self._payload is not None else 0)

    @property
    def decoded_size(self) -> int:
        """The part of `size` that decoded records take."""
        return self._decoded_size

    @property
    def last_seq(self) -> int:
        return self.seq + self.count - 1

    @property
    def records(self) -> list[Record]:
        """The decoded records. Decoding doesn't keep them: the payload remains the smaller home."""
        if self._records is not None:
            return self._records
        assert self._payload is not None
        return decode_payload(self._payload)

    @property
    def payload(self) -> bytes:
        """The encoded records."""
        if self._payload is not None:
            return self._payload
        assert self._records is not None
        return encode_payload(self._records)

    @property
    def compacted(self) -> bool:
        return self._records is None

    def extend(self, records: list[Record], size: int) -> None:
        """Add records to a chunk that has no sequence number yet."""
        assert self._records is not None
        assert not self.seq
        self._records += records
        self.count += len(records)
        self._decoded_size += size

    def compact(self) -> None:
        """Hold bytes rather than objects: about a fifth of the memory for a µs a record."""
        if self._records is not None:
            self._payload = self.payload
            self._records, self._decoded_size = None, 0

    def part(self, start: int, stop: int) -> Chunk:
        """Records start..stop as a chunk with the sequence numbers that they have in this one."""
        records = self.records[start:stop]
        return Chunk(self.tag, records, records_size(records), self.seq + start, stream=self.stream, born=self.born)

    def release(self) -> None:
        """Tell those who wait that these records are safe or counted as lost. Harmless when called again."""
        done, self.done = self.done, []
        for callback in done:
            callback()

    def __repr__(self) -> str:
        return f"<Chunk {self.tag} {self.seq}+{self.count} {self.size} B>"
