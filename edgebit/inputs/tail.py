"""Input tail: follows text files as they grow, are rotated, truncated, removed and made anew.

It promises that a line which was in a followed file is handed over at least once and in its file's order, whatever
happens to the agent: the checkpoint says how far each file's lines are safe (see plugin.Receipt), not how far they were
read. A renamed or removed file is read to its end, however long that takes, and for `rotate_wait` seconds more; also if
that was while the agent stood still, as long as the file stays in its directory. Pausing loses nothing: the lines wait
in their files, which are kept open.

What no reader can save: what is written between the copy and the truncation of a `copytruncate` rotation, and a file
that is made and renamed to a name outside `path` before anyone looked (list the rotated names in `path` if that can
be). Files compressed with gzip are read like others, not those of other programs.

Regular files never block and can't be watched by the loop's selector. inotify says when to look; where it can't (NFS,
FUSE, no more watches) the files are looked at every second, elsewhere every five to be sure. An unfinished last line
waits for its line end; it is handed over as it is when its file has been rotated away or `exit_on_eof` ends the agent.

This file knows names: which files to follow and what became of them. tail_files knows one file, tail_reader the order of
reading, tail_lines records, tail_joining those of several lines, tail_positions the checkpoint, tail_resume how to find
files again, tail_watch inotify.
"""

from __future__ import annotations

import os
from collections import deque
from stat import S_ISDIR, S_ISREG

from edgebit.errors import ConfigError, reason
from edgebit.inputs.checkpoint import FINGERPRINT
from edgebit.inputs.tail_charset import newline, sniff
from edgebit.inputs.tail_files import NotRegular, TailedFile, line_start, open_regular
from edgebit.inputs.tail_gzip import END, GzipFile, is_gzip
from edgebit.inputs.tail_once import Said, Timers, remember
from edgebit.inputs.tail_options import OPTIONS
from edgebit.inputs.tail_paths import Paths, tag_of
from edgebit.inputs.tail_positions import Keeper
from edgebit.inputs.tail_reader import MAX_OPEN, Reader
from edgebit.inputs.tail_resume import find
from edgebit.inputs.tail_watch import Watcher
from edgebit.plugin import Input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from edgebit.inputs.checkpoint import Position
    from edgebit.inputs.tail_files import Identity
    from edgebit.options import Options
    from edgebit.plugin import InputContext

MAX_FILES = 4096  # followed at a time; about half a kilobyte each
_LOOK, _LOOK_OFTEN = 5.0, 1.0  # seconds between looks at all files; often: without inotify, and at rotated ones
_SCAN = 1.0  # seconds between searches for names, where directories change all the time
_COMPRESSED = (".bz2", ".xz", ".zst")
_READ = 64  # files let go whose content is known again when it is compressed
_LET_READ = "edgebit's user has to be allowed to read it (a group such as adm?); trying again"


class Tail(Input):
    """Follows text files by name or pattern, through rotation and restarts.

    Paused, it loses nothing: the files wait.
    """

    NAME = "tail"
    keeps_state = patient = True
    OPTIONS = OPTIONS

    def __init__(self, opt: Options, ctx: InputContext) -> None:
        super().__init__(opt, ctx)
        if opt.multiline and not opt.parser_firstline:
            raise ConfigError("multiline needs a parser for first lines", key="parser_firstline")
        if opt.unicode_encoding and opt.generic_encoding:
            raise ConfigError("set unicode.encoding or generic.encoding", key="generic.encoding")
        ways = [
            name for name in ("multiline.parser", "docker_mode", "multiline") if getattr(opt, name.replace(".", "_"))
        ]
        if len(ways) > 1:
            ctx.log.warn(f"{' and '.join(ways[1:])} have no effect with {ways[0]}")
        if opt.parser and ways and ways[0] != "docker_mode":
            ctx.log.warn(f"parser has no effect with {ways[0]}: a filter can parse what was joined")
        self._codec = opt.unicode_encoding or opt.generic_encoding or "utf-8"
        self._paths = Paths(opt.path, opt.exclude_path)
        self._memory: list[Position] | None = None  # from one `close` to the next `open`
        self._is_open = False

    # -- life --------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        opt, ctx = self.opt, self.ctx
        self._files: dict[Identity, TailedFile] = {}
        self._unsafe: set[TailedFile] = set()  # let go, but with batches on their way
        self._positions: list[Position] = []  # of the checkpoint: those whose directory isn't there,
        self._resume: dict[Identity, tuple[Position, str]] = {}  # and those of files that are not followed yet
        self._read: deque[Position] = deque(maxlen=_READ)  # of files that were let go: gzip may make others of them
        self._replaced: dict[str, None] = {}  # names whose next file is read from its beginning
        said, timers = self._said, self._timers = Said(ctx.log), Timers(ctx)
        self._keeper = Keeper(opt, ctx, said, timers, self._all_positions)
        self._watcher = Watcher(ctx, opt.inotify_watcher, self._look, self._scan_soon)
        self._reader = Reader(opt, ctx, self._files, said, timers, self._watcher.missed)
        self._is_open = True
        ctx.stats.gauge("files", lambda: len(self._files))
        self._positions, self._known = (self._memory, True) if self._memory is not None else self._keeper.load()
        self._scan(first=True)
        self._keeper.save()  # where reading starts at an end must survive a kill before the first line
        self._look_later()
        timers.after("refresh", opt.refresh_interval, self._refresh)
        self._reader.go_on()

    def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self._keeper.closed = True
        self._timers.close()
        self._memory = self._all_positions()
        self._keeper.save(last=True)
        for file in self._files.values():
            file.close()
        self._watcher.close()

    def state_lost(self) -> None:
        if self._is_open:
            self._keeper.lost()

    def pause(self) -> None:
        self._reader.pause()
        self._watcher.slow = True  # names are still looked after: no rotation is missed

    def resume(self) -> None:
        self._watcher.slow = False
        self._reader.resume()

    def stop(self) -> None:
        self._reader.hand_over_waiting()
        self.pause()  # what was not read is read after the next start

    def _all_positions(self) -> list[Position]:
        self._unsafe = {file for file in self._unsafe if not file.progress.complete}
        positions = [file.position() for file in (*self._files.values(), *self._unsafe)]
        return positions + [position for position, _ in self._resume.values()] + self._positions

    # -- which files -------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        self._timers.after("refresh", self.opt.refresh_interval, self._refresh)
        self._scan()

    def _scan_soon(self) -> None:
        self._timers.after("scan", self._scanned_at + _SCAN - self.ctx.clock.monotonic(), self._scan)

    def _scan(self, first: bool = False) -> None:
        """Compare names with files: notice those that left theirs, follow new ones."""
        self._scanned_at = self.ctx.clock.monotonic()
        for file in list(self._files.values()):
            self._look(file)
        if self.opt.ignore_older and self.opt.ignore_active_older_files:
            self._let_old_ones_go()
        if self._positions:
            self._settle()
        directories = self._paths.directories()
        self._watcher.directories(directories)  # before the search, so that nothing appears unseen in between
        self._stamps = _stamps(directories)
        for directory in directories:
            if os.path.isdir(directory) and not os.access(directory, os.R_OK | os.X_OK):
                self._said.warn(directory, f"cannot list {directory}: Permission denied; {_LET_READ}")
            else:
                self._said.over(directory, f"can list {directory} now")
        names = self._paths.matches()
        for name in names:
            try:
                state = os.stat(name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._said.warn(name, f"cannot look at {name}: {error.strerror}; {_LET_READ}")
                continue
            followed = self._files.get((state.st_dev, state.st_ino))
            if followed is None:
                self._discover(name, state, first)
            elif followed.path != name:
                followed.new_path = name
        for position, name in list(self._resume.values()):
            if name != position.path and name not in names:
                self._follow(name, first)  # rotated while edgebit was stopped, to a name that `path` doesn't match
        if first and not self._files:
            self.ctx.log.info(f"no file matches {', '.join(self.opt.path)} yet")

    def _settle(self) -> None:
        """Find the files of the checkpoint."""
        ours = (position for position in self._positions if self._paths.covers(position.path))
        found = find(ours, self._keeper.rebooted)
        self._positions = found.unknown
        for identity, (position, name) in found.files.items():
            self._resume[identity] = (position, name)
            if name != position.path:
                self._replaced[position.path] = None
            if position.lost:
                self.ctx.stats.add("shortened")
                self.ctx.log.warn(f"{name} lost its end when the machine went down; going on at byte {position.offset},"
                                  " up to which it is what it was. Some lines may come twice")  # fmt: skip
        for path in found.rewritten:
            self._replaced[path] = None
            self.ctx.log.info(f"{path} was truncated or rewritten while edgebit was stopped; reading it from its start")
        for position in found.missing:
            self._read.append(position)
            self._replaced[position.path] = None
            self.ctx.stats.add("gone")
            self.ctx.log.warn(f"the file that was {position.path} is not in its directory any more; what was written "
                              f"to it after byte {position.offset} is lost")  # fmt: skip

    def _discover(self, name: str, state: os.stat_result, first: bool) -> None:
        """A name that `path` matches and whose file isn't followed yet."""
        if S_ISDIR(state.st_mode):
            return
        older = self.opt.ignore_older
        if name.endswith(_COMPRESSED):
            self._said.once(
                "compressed", f"{name} is not read: of compressed files only .gz are; exclude_path can say so"
            )
        elif not S_ISREG(state.st_mode):
            self._said.warn(name, f"{name} is not a regular file; it is not read")
        elif older and self.ctx.clock.wall_ns() / 1e9 - state.st_mtime > older:
            return
        elif len(self._files) >= MAX_FILES:
            self._said.once("many", f"more than {MAX_FILES} files match; {name} and others wait until some are gone")
        else:
            self._follow(name, first)

    def _follow(self, name: str, first: bool) -> None:
        """Start to read the file that has this name now."""
        try:
            fd, state = open_regular(name)
        except (NotRegular, FileNotFoundError):
            return
        except OSError as error:
            self._said.warn(name, f"cannot open {name}: {error.strerror}; {_LET_READ}")
            return
        identity = (state.st_dev, state.st_ino)
        position, _ = self._resume.get(identity, (None, ""))
        path = position.path if position is not None else name
        tag = tag_of(self.ctx.tag, path, self.opt.tag_regex)
        try:
            if tag is None:
                self._said.warn(name, f"tag_regex doesn't match {path}; it is not read")
            if tag is None or identity in self._files:
                os.close(fd)
                return
            file = self._opened(name, path, tag, fd, position, from_head=self._from_head(name, first))
            file.source = f"{self.ctx.name}:{identity[1]}"
            file.go_on_behind(self.ctx.recovered(tag, file.source), position)
            if self._reader.joins:
                file.stops.clear()  # records may end in another order than they begin
        except OSError as error:
            os.close(fd)
            self._said.warn(name, f"cannot read {name}: {reason(error)}; trying again")
            return
        if path != name:  # it was renamed while edgebit was stopped
            file.left = self.ctx.clock.monotonic()
            file.new_path = name if self._paths.covers(name) else ""
        file.seen = (state.st_size, state.st_mtime_ns)
        self._resume.pop(identity, None)
        self._replaced.pop(name, None)
        self._said.over(name, f"reading {name} now")
        self._files[identity] = file
        self._watcher.follow(file)
        self._reader.touch(file)
        self._reader.add(file)
        self._keeper.moved()

    def _opened(self, name: str, path: str, tag: str, fd: int, position: Position | None,
                from_head: bool) -> TailedFile:  # fmt: skip
        """The file that has this name, where reading it begins. Raises OSError."""
        state = os.fstat(fd)
        identity = (state.st_dev, state.st_ino)
        offset = position.offset if position is not None else 0
        if not is_gzip(name):
            codec = self._codec
            if codec == "auto":
                codec = sniff(os.pread(fd, FINGERPRINT, 0)) or codec
            if position is None and not from_head:
                offset = line_start(fd, state.st_size, self.opt.buffer_max_size, newline(codec))
            return TailedFile(path, tag, fd, identity, offset, self._keeper.moved, codec)
        if position is None and not from_head:
            offset = END
        was_plain = position is not None and position.ino != identity[1]
        file = GzipFile(path, tag, fd, identity, 0 if was_plain else offset, self._keeper.moved, self._codec)
        if position is not None and was_plain:
            file.resume_behind([position])
        elif position is None and from_head:
            file.resume_behind([*(f.position() for f in self._files.values()), *self._read])
        return file

    def _from_head(self, name: str, first: bool) -> bool:
        if name in self._replaced:
            return True
        opt = self.opt
        new = not first or self._known  # it wasn't there when we looked before
        head: bool = opt.read_newly_discovered_files_from_head if new else opt.read_from_head
        return head

    # -- what becomes of a file --------------------------------------------------------------------------------------

    def _look_at_all(self) -> None:
        """What inotify can't tell, and the end of rotated files."""
        self._watcher.drain()  # so that what it did tell is not taken for a surprise
        for file in list(self._files.values()):
            if not file.ready:
                self._look(file)
                file.polled = file.ready
        if self._watcher.deaf and _stamps(self._stamps) != self._stamps:
            self._scan()
        self._look_later()

    def _look_later(self) -> None:
        often = self._watcher.deaf or any(file.left is not None for file in self._files.values())
        every = _LOOK_OFTEN if often else _LOOK
        # On the clock's grid, so that several tails wake the loop together.
        self._timers.after("look", every - self.ctx.clock.monotonic() % every, self._look_at_all)

    def _look(self, file: TailedFile) -> None:
        """Has it grown, lost its name, or waited long enough without one?"""
        now = self.ctx.clock.monotonic()
        state = None
        try:
            state = os.stat(file.path)
            at_home = (state.st_dev, state.st_ino) == file.identity
        except (FileNotFoundError, NotADirectoryError):
            at_home = False
        except OSError:
            at_home = file.left is None  # can't tell: the directory may be closed to us for a while
        if at_home:
            file.left = None
        else:
            if state is not None and (state.st_dev, state.st_ino) not in self._files:
                self._scan_soon()  # another file has its name
            if file.left is None and not self._leave(file):
                return
            state = None
        if state is None and file.fd >= 0:
            state = os.fstat(file.fd)
        if state is not None and (seen := (state.st_size, state.st_mtime_ns)) != file.seen:
            file.seen = seen
            if file.left is not None:
                file.left = now
            self._reader.add(file)
        elif file.left is not None and now - file.left >= self.opt.rotate_wait and self._reader.is_done(file):
            self._let_go(file)

    def _leave(self, file: TailedFile) -> bool:
        """It was renamed or removed: hold on to it until it has been read to its end. False if it is gone."""
        file.left = self.ctx.clock.monotonic()
        remember(self._replaced, file.path, None)
        try:
            self._reader.touch(file)
        except OSError:
            if file.seen[0] > file.offset:
                self.ctx.stats.add("gone")
                self.ctx.log.warn(f"{file.path} was removed before it was read to its end; it was closed because more "
                                  f"than {MAX_OPEN} files are followed")  # fmt: skip
            self._drop(file)
            return False
        self._reader.add(file)
        self._timers.cancel("look")
        self._look_later()
        return True

    def _let_go(self, file: TailedFile) -> None:
        """A rotated file has been read to its end and nothing came after."""
        if self._rename(file):
            return
        try:
            self._reader.hand_over_rest(file)
        except OSError as error:
            self.ctx.log.warn(f"cannot read {file.path}: {reason(error)}; its end may be lost")
        if not file.ready:
            self.ctx.stats.add("rotated")
            self._read.append(file.position())
            self._drop(file)

    def _let_old_ones_go(self) -> None:
        """ignore_active_older_files: those are taken up again where they were left, should they change."""
        limit = self.ctx.clock.wall_ns() - int(self.opt.ignore_older * 1e9)
        for file in list(self._files.values()):
            safe = file.progress.complete and file.progress.end == file.offset
            old = file.left is None and file.seen[1] < limit
            if old and safe and self._reader.is_done(file) and len(self._resume) < MAX_FILES:
                self._resume[file.identity] = (file.position(), file.path)
                self._drop(file)

    def _rename(self, file: TailedFile) -> bool:
        """Follow it on under its new name if `path` matches that too."""
        name, file.new_path = file.new_path, ""
        tag = tag_of(self.ctx.tag, name, self.opt.tag_regex)
        try:
            state = os.stat(name)
        except OSError:
            return False
        if (state.st_dev, state.st_ino) != file.identity or tag is None:
            return False
        file.path, file.tag, file.left = name, tag, None
        self._keeper.moved()
        return True

    def _drop(self, file: TailedFile) -> None:
        self._watcher.forget(file)
        self._reader.forget(file)
        del self._files[file.identity]
        self._unsafe = {f for f in (*self._unsafe, file) if not f.progress.complete}
        self._keeper.moved()


def _stamps(directories: Iterable[str]) -> dict[str, int]:
    """When names last came or went in each; 0 if it isn't there."""
    found = dict.fromkeys(directories, 0)
    for directory in found:
        try:
            found[directory] = os.stat(directory).st_mtime_ns
        except OSError:
            pass
    return found
