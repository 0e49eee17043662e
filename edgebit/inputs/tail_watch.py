"""Tells tail when to look at a file or for new names; a wake-up at most every GATHER seconds, none while nothing moves.

The first event after a silence is passed on at once. Then the descriptor is left alone for a moment, so that a program
which writes a thousand lines a second costs ten wake-ups and not a thousand.
"""

from __future__ import annotations

from edgebit.errors import reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edgebit.inputs.inotify import Inotify
    from edgebit.inputs.tail_files import TailedFile
    from edgebit.loop import Timer
    from edgebit.plugin import InputContext

GATHER, GATHER_SLOW = 0.1, 1.0  # seconds; the second while reading is paused and only names matter
_STRIKES = 2  # times in a row that a file was found grown without an event: one can be a race


class Watcher:
    """inotify for the files and directories of one tail. `deaf`: not everything is covered, look often."""

    def __init__(self, ctx: InputContext, wanted: bool, on_file: Callable[[TailedFile], object],
                 on_names: Callable[[], object]) -> None:  # fmt: skip
        self._ctx, self._on_file, self._on_names = ctx, on_file, on_names
        self._things: dict[int, TailedFile | str] = {}
        self._inotify: Inotify | None = None
        self._timer: Timer | None = None
        self.slow = False
        self.deaf = not wanted
        if wanted:
            try:
                from edgebit.inputs import inotify

                self._inotify, self._masks = inotify.Inotify(), inotify
            except OSError as error:
                self._give_up(f"inotify: {reason(error)}")
            else:
                self._watch = ctx.watch(self._inotify.fd, self._on_read)
                self._watch.want(read=True)

    def follow(self, file: TailedFile) -> None:
        """Tell when the open file grows, is renamed or removed."""
        if self._inotify is not None:
            file.wd = self._add(f"/proc/self/fd/{file.fd}", self._masks.FILE)  # the very file, whatever its name is
            if file.wd >= 0:
                self._things[file.wd] = file

    def forget(self, file: TailedFile) -> None:
        if self._inotify is not None and file.wd >= 0:
            self._inotify.remove(file.wd)
            self._things.pop(file.wd, None)
            file.wd = -1

    def directories(self, paths: Iterable[str]) -> None:
        """Tell when names come and go in these directories, and in no others."""
        if self._inotify is None:
            return
        wanted = {self._add(path, self._masks.DIRECTORY): path for path in paths}
        for wd, thing in list(self._things.items()):
            if isinstance(thing, str) and wd not in wanted:
                self._inotify.remove(wd)
                del self._things[wd]
        wanted.pop(-1, None)
        self._things.update(wanted)

    def drain(self) -> None:
        """Pass on what has been reported up to now, each file once."""
        if self._inotify is None:
            return
        files: dict[TailedFile, None] = {}
        names = False
        for wd, mask in self._inotify.read():
            thing = self._things.get(wd)
            if mask & self._masks.Q_OVERFLOW:
                files.update((t, None) for t in self._things.values() if not isinstance(t, str))
                names = True
            elif isinstance(thing, str):
                names = True
            elif thing is not None:
                files[thing] = None
                thing.strikes = 0
            if mask & self._masks.IGNORED and thing is not None:  # the kernel has let go of it
                del self._things[wd]
                if not isinstance(thing, str):
                    thing.wd = -1
        for file in files:
            self._on_file(file)
        if names:
            self._on_names()

    def missed(self, file: TailedFile) -> None:
        """New lines were found in the file and nobody had said so."""
        file.strikes += 1
        if file.strikes >= _STRIKES and not self.deaf:
            self._give_up(f"{file.path}: its file system doesn't tell of changes")

    def close(self) -> None:
        if self._inotify is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._watch.close()
            self._inotify.close()
            self._inotify = None

    def _on_read(self) -> None:
        self._watch.want()
        self._timer = self._ctx.call_later(GATHER_SLOW if self.slow else GATHER, self._listen)
        self.drain()

    def _listen(self) -> None:
        self._watch.want(read=True)

    def _add(self, path: str, mask: int) -> int:
        assert self._inotify is not None
        try:
            return self._inotify.add(path, mask)
        except FileNotFoundError:
            return -1  # gone already: the next scan sees it
        except OSError as error:
            import errno

            advice = " (raise fs.inotify.max_user_watches)" if error.errno == errno.ENOSPC else ""
            if not self.deaf:
                self._give_up(f"inotify: {reason(error)}{advice}")
            return -1

    def _give_up(self, why: str) -> None:
        self.deaf = True
        self._ctx.log.info(f"{why}; looking at the files every second instead")
