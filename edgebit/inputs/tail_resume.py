"""After a restart: which file of today is the one that a checkpoint's position was taken in?

In this order: the file of that inode, under its old name or another in the same directory (it was rotated), if its
fingerprints fit; then the file of that name if they fit (file systems such as FAT make up new inode numbers with every
mount); then a compressed file that begins so. Names are looked for in the directory of the old one, and in that of the
file if it was a link. After another boot a file that doesn't fit may have lost its end: then an older anchor may fit.
Otherwise it is gone, or was truncated, or another one has its name: then there is nothing to continue.
"""

from __future__ import annotations

import os

from edgebit.inputs.tail_files import NotRegular, by_inode, homes, open_regular
from edgebit.inputs.tail_gzip import fits, is_gzip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgebit.inputs.checkpoint import Position
    from edgebit.inputs.tail_files import Identity

_PACKED = 64  # compressed files that are looked into for one position
_TELLING = 16  # bytes of fingerprint that are taken as proof for a file of quite another name


class Found:
    """What became of the positions.

    files      by identity: the position, and a name that the file has now
    rewritten  names whose file is still there, with other content
    missing    positions whose file isn't in its directory any more
    unknown    positions whose directory can't be read; to be asked again
    """

    def __init__(self) -> None:
        self.files: dict[Identity, tuple[Position, str]] = {}
        self.rewritten: list[str] = []
        self.missing: list[Position] = []
        self.unknown: list[Position] = []


def find(positions: Iterable[Position], rebooted: bool) -> Found:
    """Look for the files of these positions. Opens each for a moment; raises nothing."""
    found = Found()
    directories: dict[str, _Directory | None] = {}
    for position in positions:
        where = homes(position.path)
        for path in where:
            if path not in directories:
                try:
                    directories[path] = _Directory(path)
                except OSError:
                    directories[path] = None
        there = [directory for path in where if (directory := directories[path]) is not None]
        if len(there) < len(where):
            found.unknown.append(position)
        else:
            _find_one(position, there, found, rebooted)
    return found


class _Directory:
    """The names in a directory by inode, and those of compressed files by how they begin."""

    def __init__(self, path: str) -> None:
        self.inodes = by_inode(path)
        self.packed: dict[str, list[str]] = {}
        for names in self.inodes.values():
            for name in filter(is_gzip, names):
                self.packed.setdefault(_stem(name), []).append(name)


def _stem(path: str) -> str:
    return os.path.basename(path).partition(".")[0]


def _find_one(position: Position, there: list[_Directory], found: Found, rebooted: bool) -> None:
    path = position.path
    names = [name for directory in there for name in directory.inodes.get(position.ino, [])]
    stems = {_stem(path), _stem(os.path.realpath(path))}
    telling = position.tail[0] >= _TELLING
    # The old name is tried for itself: it may be a link to a file in another directory.
    for name in [path, *(name for name in names if name != path)]:
        identity, fitting = _look(name, position, rebooted)
        if identity is None or identity[1] != position.ino:
            continue
        if fitting is not None and (name == path or telling or _stem(name) in stems):
            found.files[identity] = (fitting, name)
            return
    identity, fitting = _look(path, position, rebooted)
    if identity is not None and fitting is not None and position.offset:
        found.files.setdefault(identity, (fitting, path))
    elif _find_packed(position, [n for d in there for stem in stems for n in d.packed.get(stem, [])], found):
        return
    elif identity is not None and identity[1] == position.ino:
        found.rewritten.append(path)
    else:
        found.missing.append(position)


def _find_packed(position: Position, names: list[str], found: Found) -> bool:
    """Look for a compressed file that begins as the one of this position did."""
    if position.head[0] < _TELLING:
        return False
    for name in sorted(names, reverse=True)[:_PACKED]:
        try:
            fd, state = open_regular(name)
        except (OSError, NotRegular):
            continue
        try:
            if fits(fd, position):
                found.files.setdefault((state.st_dev, state.st_ino), (position, name))
                return True
        except OSError:
            continue
        finally:
            os.close(fd)
    return False


def _look(name: str, position: Position, rebooted: bool) -> tuple[Identity | None, Position | None]:
    """Which file has this name, and where to go on in it; no position if it is another or was rewritten."""
    try:
        fd, state = open_regular(name)
    except (OSError, NotRegular):
        return None, None
    try:
        identity = (state.st_dev, state.st_ino)
        if is_gzip(name) or is_gzip(position.path):
            return identity, position if is_gzip(name) == is_gzip(position.path) and fits(fd, position) else None
        if position.fits(fd):
            return identity, position
        return identity, position.before(fd) if rebooted else None
    except OSError:
        return None, None
    finally:
        os.close(fd)
