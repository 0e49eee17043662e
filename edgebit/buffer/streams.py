"""The directories of buffers on disk: which output each belongs to, and which belong to none.

``<state_dir>/buffers/<random name>/`` holds the log of one output, and ``stream.json`` there, with a copy, says of which
one. The name is never made from the configuration, so that no change of it can make a backlog vanish or give it to another
output by accident: a directory whose output is no longer configured is an orphan. It is kept, named at every start and by
`edgebit check`, and can be drained or exported with `edgebit buffer`.
"""

from __future__ import annotations

import os
import zlib

from edgebit.buffer.files import in_place
from edgebit.errors import StateError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.buffer.files import Files

INFO = "stream.json"
COPY = "stream.copy.json"  # one damaged byte must not part a backlog from its output


class InUse(StateError):
    """Another process has the lock of the state directory."""


class Streams:
    """The directory `<state_dir>/buffers`. `agent_id` is written into what is made or changed."""

    def __init__(self, files: Files, state_dir: str, agent_id: str = "") -> None:
        self.files, self.agent_id = files, agent_id
        self.path = os.path.join(state_dir, "buffers")

    def all(self) -> dict[str, str]:
        """Directory -> the output it belongs to, "" if that can't be read."""
        found = {}
        for name in self.files.listdir(self.path):
            directory = os.path.join(self.path, name)
            try:
                content = self.files.listdir(directory)
            except NotADirectoryError:
                continue
            except OSError:
                found[directory] = ""
                continue
            owners = self._owners(directory)
            if owners or any(name.endswith(".seg") for name in content):
                found[directory] = owners[0] if owners else ""
        return found

    def _owners(self, directory: str) -> list[str]:
        """What the file and its copy say, those that are whole."""
        import json

        found = []
        for name in (INFO, COPY):
            try:
                info = json.loads(self.files.read(os.path.join(directory, name)))
                if info.get("check", _check(info["output"])) == _check(info["output"]):
                    found.append(info["output"])
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return found

    def identity(self, directory: str) -> tuple[str, dict[str, str]]:
        """The agent that a buffer belongs to, "" if that isn't known, and the agents of streams in it that came from other
        devices by `edgebit buffer replay`."""
        import json

        for name in (INFO, COPY):
            try:
                info = json.loads(self.files.read(os.path.join(directory, name)))
                agents = {str(stream): str(agent) for stream, agent in info.get("agents", {}).items()}
                if info["names"] == _names(agent := str(info["agent"]), agents):
                    return agent, agents
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return "", {}

    def adopt(self, directory: str, output: str, agents: dict[str, str]) -> None:
        """Say whose the streams in the buffer of `output` are: another agent's stay so when they are delivered. Raises
        OSError."""
        self._sign(directory, output, {stream: agent for stream, agent in agents.items() if agent != self.agent_id})

    def _sign(self, directory: str, output: str, agents: dict[str, str] | None = None) -> None:
        import json

        agent, known = self.identity(directory)
        agent, agents = self.agent_id or agent, known if agents is None else agents
        info = json.dumps({"format": 1, "output": output, "check": _check(output), "agent": agent, "agents": agents,
                           "names": _names(agent, agents)}).encode() + b"\n"  # fmt: skip
        for name in (INFO, COPY):
            self.files.replace(os.path.join(directory, name), info)

    def of(self, output: str, new_name: str) -> str:
        """The directory of an output, made if there is none. Raises StateError."""
        try:
            for directory, owner in self.all().items():
                if owner == output:
                    signed = self._owners(directory) == [output, output]
                    if not signed or self.identity(directory)[0] != (self.agent_id or self.identity(directory)[0]):
                        self._sign(directory, output)
                    return directory
            directory = os.path.join(self.path, new_name)
            self.files.makedirs(directory)
            self._sign(directory, output)
        except OSError as error:
            raise StateError(f"the buffers in {self.path} can't be used: {reason(error)}; the agent's user must own the "
                             "directory and be able to write there") from None  # fmt: skip
        return directory

    def renew(self, directory: str, output: str, usurped: bool) -> None:
        """Make the directory of a running output's buffer again. What stands in its place, an older state of it on a medium
        that was away, say, gets another name and owner: an orphan, which may be delivered with `edgebit buffer`. Raises
        OSError."""
        if usurped:
            aside = f"{directory}-{os.urandom(2).hex()}"
            os.rename(directory, aside)
            self._sign(aside, f"{output} (found {os.path.basename(aside)})")
        self.files.makedirs(directory)
        self._sign(directory, output)

    def orphans(self, outputs: set[str]) -> dict[str, str]:
        """Directories that hold something and belong to none of these outputs."""
        return {
            directory: owner
            for directory, owner in self.all().items()
            if owner not in outputs and any(name.endswith(".seg") for name in self.files.listdir(directory))
        }


def _check(output: str) -> int:
    return zlib.crc32(output.encode("utf-8", "surrogateescape"))


def _names(agent: str, agents: dict[str, str]) -> int:
    return _check("\0".join([agent, *(f"{stream}={name}" for stream, name in sorted(agents.items()))]))


class Lock:
    """One process a state directory: an flock on `<state_dir>/lock`, given back by the kernel when the process ends,
    however it ends."""

    def __init__(self, state_dir: str) -> None:
        self.state_dir, self._path = state_dir, os.path.join(state_dir, "lock")
        self._fd = self._take()

    def _take(self) -> int:
        import fcntl

        try:
            os.makedirs(self.state_dir, mode=0o750, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StateError(f"the state directory {self.state_dir} can't be used: {reason(error)}; make it, give it to the "
                             "agent's user, or name another one in service.state_dir") from None  # fmt: skip
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(fd, 32).decode(errors="replace").strip()
            os.close(fd)
            raise InUse(f"another edgebit (process {owner}) uses the state directory {self.state_dir}; stop it, "
                        "or give this one a service.state_dir of its own") from None  # fmt: skip
        try:
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        except OSError:
            pass  # the number is for people only, and the disk may be full
        return fd

    @property
    def in_place(self) -> bool:
        """Whether the lock file is still there: the state directory may have been removed, or mounted over."""
        return in_place(self._path, self._fd)

    def renew(self) -> None:
        """Take the lock of the directory that is there now, made if need be. Raises StateError."""
        if not self.in_place:
            fd = self._take()
            os.close(self._fd)
            self._fd = fd

    def close(self) -> None:
        os.close(self._fd)
