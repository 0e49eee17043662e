"""What characters a file's bytes are, for `unicode.encoding` and `generic.encoding`. Pure: no file, clock or log.

Lines are found in the bytes, before they are decoded, so that positions are those of the file. In all sets of characters
that are taken here but UTF-16 a byte 10 is a line end and nothing else; UTF-16 has it as two bytes at an even offset
(RFC 2781).
"""

from __future__ import annotations

import codecs
import re
from itertools import pairwise

from edgebit.options import BadValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LF = b"\n"
_NEWLINES = {"utf-16-le": b"\n\0", "utf-16-be": b"\0\n"}
_NAMES = {"shiftjis": "cp932", "sjis": "cp932", "windows-31j": "cp932", "big5": "cp950", "gbk": "cp936",
          "uhc": "cp949"}  # fmt: skip
_UNICODE = {"auto": "auto", "utf-8": "utf-8", "utf8": "utf-8", "utf-16le": "utf-16-le", "utf-16-le": "utf-16-le",
            "utf-16be": "utf-16-be", "utf-16-be": "utf-16-be"}  # fmt: skip
_SAMPLE = 256  # bytes of a file's beginning that tell UTF-16 from the rest


def unicode_name(value: object) -> str:
    """A Unicode encoding: its name in Python, or auto."""
    found = _UNICODE.get(str(value).strip().lower().replace("_", "-"))
    if found is None:
        raise BadValue("one of auto, UTF-8, UTF-16LE, UTF-16BE")
    return found


def generic_name(value: object) -> str:
    """Another set of characters: its name in Python."""
    name = str(value).strip().lower()
    name = _NAMES.get(name) or re.sub(r"^win(?:dows)?[-_]?(?=\d)", "cp", name)
    what = 'a set of characters such as "ShiftJIS", "GBK", "Big5", "UHC", "Win1252" or "latin1"'
    try:
        info = codecs.lookup(name)
        if b"\n".decode(info.name) != "\n" or info.name.startswith(
            ("utf-7", "utf-8-sig", "punycode", "idna", "unicode")
        ):
            raise BadValue(what)
    except (LookupError, UnicodeError):
        raise BadValue(what) from None
    return info.name


def sniff(head: bytes) -> str:
    """What the beginning of a file says for "auto"; "" if it is too short to say anything."""
    if len(head) < 2:
        return ""
    if head.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    sample = head[:_SAMPLE]
    even, odd = sample[::2].count(0), sample[1::2].count(0)  # text that is mostly Latin has a zero in each character
    if max(even, odd) * 4 > len(sample) and min(even, odd) * 8 < len(sample):
        return "utf-16-be" if even > odd else "utf-16-le"
    return "utf-8"


def newline(codec: str) -> bytes:
    """The line end of an encoding in bytes."""
    return _NEWLINES.get(codec, LF)


def last_end(block: bytes, mark: bytes, start: int, end: int) -> int:
    """The offset behind the last line end within block[start:end], or -1. With two bytes `start` has to be even."""
    at = block.rfind(mark, start, end)
    if len(mark) == 2:
        while at >= 0 and (at - start) % 2:
            at = block.rfind(mark, start, at + 1)
    return at + len(mark) if at >= 0 else -1


def first_end(block: bytes, mark: bytes, start: int) -> int:
    """The offset behind the first line end from `start` on, or -1. With two bytes `start` has to be even."""
    at = block.find(mark, start)
    if len(mark) == 2:
        while at >= 0 and (at - start) % 2:
            at = block.find(mark, at + 1)
    return at + len(mark) if at >= 0 else -1


def decode(data: bytes, codec: str, first: bool) -> str:
    """Text; what makes no sense becomes U+FFFD. `first`: the file begins with it, a byte order mark is left out."""
    if codec == "utf-8":
        text = data.decode("utf-8", "surrogateescape")
    else:
        try:
            text = data.decode(codec)
        except UnicodeDecodeError:
            text = data.decode(codec, "replace")
    return text[1:] if first and text.startswith("\ufeff") else text


def sizes(data: bytes, codec: str) -> Iterable[int]:
    """The bytes of each line, its line end included."""
    mark = newline(codec)
    if len(mark) == 1:
        return (len(line) + 1 for line in data.split(b"\n"))
    ends = [0]
    while (behind := first_end(data, mark, ends[-1])) >= 0:
        ends.append(behind)
    return (b - a for a, b in pairwise(ends))


def whole(data: bytes, codec: str) -> bytes:
    """Without the beginning of a character whose end was cut off, as far as the encoding tells."""
    if codec in _NEWLINES:
        return data[: len(data) - len(data) % 2]
    if codec and codec != "utf-8":
        decoder = codecs.getincrementaldecoder(codec)("replace")
        decoder.decode(data)
        held = decoder.getstate()[0]
        return data[: len(data) - len(held)] if held else data
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # not a continuation: ASCII, or it tells how many belong to it (RFC 3629)
            need = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if need > back else data
    return data
