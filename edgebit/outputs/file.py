"""Output file: records appended to files, by default one for each tag.

A batch is appended with one write, and counts as delivered when all of it is in the file (with sync = "always": on the
disk). When that fails (disk full, quota, input/output error) what was written of it is cut off again and the batch is
tried again later: no torn line, no silent loss. A file that was renamed or removed (logrotate) is noticed before the
next write and made anew, so no signal has to be sent. A line that a power cut has torn is ended first, and stays alone.
Files are opened in append mode and only ever grow; they are rotated by logrotate, or by the output itself (`rotate`).

Writing to a regular file blocks the agent for as long as the disk takes. `path`/`file` may also name a FIFO or device,
which never blocks: there the batch waits until somebody reads.
"""

from __future__ import annotations

import errno
import os
import re
import stat

from edgebit.errors import ConfigError, reason
from edgebit.net.rotation import ROTATE_OPTIONS, Rotation
from edgebit.net.writing import SlowWriter, append, sync_directory
from edgebit.options import Option, boolean, string
from edgebit.plugin import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from edgebit.options import Options
    from edgebit.plugin import Context, Delivery

MAX_OPEN = 32  # files held open; the one not written to for longest is closed
_MAX_NAME, _MAX_PATH = 255, 1024  # bytes; Linux takes names of 255 in paths of 4095
_NOT_IN_NAMES = re.compile(rb"[^A-Za-z0-9._-]")
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
_TAG = re.compile(r"\$TAG(?:\[([0-9]{1,3})\])?")
_FIELD = re.compile(r"\$[A-Za-z_]\w*")
_BINARY = ("cbor", "cbor_rows", "msgpack")


def tag_path(tag: str) -> str:
    """A relative path made from a tag, which may come from outside: it can't leave the directory.

    "/" makes directories; other bytes than ASCII letters, digits and "._-" become "_", as do empty, "." and ".." parts.
    Long tags are cut, because a name that the system refuses would never be written.
    """
    parts = []
    for part in tag.encode("utf-8", "replace")[:_MAX_PATH].split(b"/"):
        safe = _NOT_IN_NAMES.sub(b"_", part)[:_MAX_NAME]
        parts.append("_" if safe in (b"", b".", b"..") else safe.decode())
    return "/".join(parts)


def _with_tag(template: str, tag: str) -> str:
    """A path with $TAG and $TAG[n] (a part of the tag, from 0) in it replaced by the tag, as `tag_path` makes it safe."""
    parts = tag.split(".")

    def safe(match: re.Match[str]) -> str:
        if match[1] is None:
            return tag_path(tag)
        number = int(match[1])
        return tag_path(parts[number]).replace("/", "_") if number < len(parts) else "_"

    return _TAG.sub(safe, template)


def _check_name(key: str, value: str) -> None:
    for match in _FIELD.finditer(value):
        if not _TAG.match(value, match.start()):
            raise ConfigError(f"may have $TAG and $TAG[n] in it, but no fields of records such as {match[0]}; send them to "
                              "tags of their own with a filter rewrite_tag", key=key)  # fmt: skip


class _Target:
    """An open file: a regular one, or a `writer` for anything else."""

    def __init__(self, fd: int, ctx: Context) -> None:
        st = os.fstat(fd)
        self.fd, self.identity = fd, (st.st_dev, st.st_ino)
        self.writer = None if stat.S_ISREG(st.st_mode) else SlowWriter(ctx, fd)
        self.lead = b""  # goes before the first batch
        # Column names that the next records stand under: b"" for other ones, None if nobody has looked yet.
        self.header: bytes | None = None

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        else:
            os.close(self.fd)


class File(Output):
    """Appends records to files."""

    NAME = "file"
    local = True
    OPTIONS = (
        Option("path", string, "", "directory of the files; by default the one the agent was started in"),
        Option("file", string, "", "name of the file; by default the tag, with what can't be in a name replaced by _"),
        Option("mkdir", boolean, True, "make directories that are missing (mode 0755)"),
        Option("sync", ("never", "always"), "never", "always: each batch is on the disk before it counts as delivered"),
        *ROTATE_OPTIONS,
    )
    # Not mkdir, which is off in Fluent Bit: a missing directory loses the records there.
    CLASSIC: ClassVar[dict[str, str]] = {"format": "out_file"}
    FORMATS = ("json_lines", "csv", "json", "json_stream", "ltsv", "plain", "out_file", "template", "text", "gelf",
               "msgpack", "cbor", "cbor_rows")  # fmt: skip

    def __init__(self, opt: Options, ctx: Context) -> None:
        super().__init__(opt, ctx)
        self._sync = opt.sync == "always"
        self._text = opt.format not in _BINARY
        self._rotation = Rotation(opt, ctx) if opt.rotate else None
        for key in ("path", "file"):
            _check_name(key, getattr(opt, key))
        self._has_header = opt.format == "csv" and opt.csv_column_names
        self._targets: dict[str, _Target] = {}  # by path, the one used last at the end

    def deliver(self, delivery: Delivery) -> None:
        body = delivery.body
        if self._text and body and not body.endswith(b"\n"):
            body += b"\n"  # of json and json_stream, which have no line ends of their own
        path = self._path(delivery.chunk.tag)
        try:
            target = self._target(path)
            if target.writer is None:
                if self._rotation is not None and self._rotation.due(target.fd) and self._rotation.rotate(path):
                    target = self._target(path)
                header = target.header
                if self._has_header and body:
                    body, header = self._under_header(target, path, body)
                append(target.fd, target.lead + body, self._sync)
                target.header, target.lead = header, b""
        except OSError as error:
            self._forget(path)
            why = "nobody reads from it" if error.errno == errno.ENXIO else error.strerror or reason(error)
            delivery.retry(f"cannot write {path}: {why}")
            return

        if target.writer is None:
            delivery.delivered()
            return

        def done(why: str) -> None:
            if why:
                self._forget(path)
                delivery.retry(f"cannot write {path}: {why}")
            else:
                delivery.delivered()

        target.writer.write(body, done)

    def close(self) -> None:
        for path in list(self._targets):
            self._forget(path)
        if self._rotation is not None:
            self._rotation.close()

    def _path(self, tag: str) -> str:
        name = self.opt.file or tag_path(tag)
        directory = self.opt.path
        if "$TAG" in directory:
            directory = _with_tag(directory, tag)
        if self.opt.file and "$TAG" in name:
            name = _with_tag(name, tag)
        return os.path.join(directory, name)

    # -- files ---------------------------------------------------------------------------------------------------------

    def _target(self, path: str) -> _Target:
        """The open file of this path, opened anew if it isn't the same any more. Raises OSError."""
        target = self._targets.pop(path, None)
        if target is not None:
            try:
                st = os.stat(path)
            except OSError:
                st = None
            if st is None or (st.st_dev, st.st_ino) != target.identity:
                target.close()
                target = None
        if target is None:
            if len(self._targets) >= MAX_OPEN:
                self._forget(next(iter(self._targets)))
            target = self._open(path)
        self._targets[path] = target
        return target

    def _open(self, path: str) -> _Target:
        # Non-blocking, because opening a FIFO would else wait for its reader; it has no meaning for regular files.
        try:
            fd = os.open(path, _FLAGS | os.O_NONBLOCK, 0o666)
        except FileNotFoundError:
            directory = os.path.dirname(path)
            if not self.opt.mkdir or not directory or os.path.isdir(directory):
                raise
            _make_directories(directory, self._sync)
            fd = os.open(path, _FLAGS | os.O_NONBLOCK, 0o666)
        try:
            target = _Target(fd, self.ctx)
            if target.writer is None:
                if self._text and _read(path, 1, -1) not in (b"", b"\n"):
                    target.lead = b"\n"
                if self._sync:
                    sync_directory(path)  # else a power cut may take the name with the file
        except OSError:
            os.close(fd)
            raise
        return target

    def _forget(self, path: str) -> None:
        target = self._targets.pop(path, None)
        if target is not None:
            target.close()

    # -- column names --------------------------------------------------------------------------------------------------

    def _under_header(self, target: _Target, path: str, body: bytes) -> tuple[bytes, bytes]:
        """The body without its first line, the column names, if the file's last records stand under the same ones; and
        the names that the next records stand under. The format begins each batch with a line of names.

        Of a file from an earlier run only the first line is looked at.
        """
        end = body.index(b"\n") + 1
        header = body[:end]
        if target.header is None:
            target.header = _read(path, end)
        # Names within the body: fields change there. Text of a record may look so too, then the names come once more.
        changes = body.find(b"\ntimestamp", end - 1) >= 0
        return (body[end:] if header == target.header else body), (b"" if changes else header)


def _read(path: str, length: int, start: int = 0) -> bytes:
    """Bytes from the start of a file, or before its end if `start` is negative; b"" if there are none to be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            file.seek(start, os.SEEK_END if start < 0 else os.SEEK_SET)
            return file.read(length)
    except OSError:
        return b""


def _make_directories(path: str, sync: bool) -> None:
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.mkdir(directory, 0o755)
        if sync:
            sync_directory(directory)
