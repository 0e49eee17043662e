"""The virtual machine, its two drives, and the cut.

Two drives, because a flush empties a drive's whole cache: the followed files are on the second one, so that whoever
writes and syncs them doesn't make edgebit's own state on the first one durable by the way.
"""

import random
import re
import subprocess
from pathlib import Path

from drive import Drive, Server
from image import extract, make_filesystem

MEMORY = 256  # MiB
_ALARMS = ("internal error", "Traceback", "Main process exited", "Scheduled restart", "damaged", "set aside", "lost")


class Machine:
    """Boots and dies in `directory`, over and over on the same two drives."""

    def __init__(self, work: Path, directory: Path, chance: random.Random) -> None:
        self.work, self.directory = work, directory
        subprocess.run(["cp", "--sparse=always", work / "root.img", directory / "root.img"], check=True)
        make_filesystem(directory / "data.img", 256)
        self.drives = [Drive(str(directory / name), chance) for name in ("root.img", "data.img")]
        self._servers = [Server(drive, f"{drive.path}.sock") for drive in self.drives]
        self._process: subprocess.Popen[bytes] | None = None
        self.console = directory / "console.log"

    def boot(self, syslog_port: int, environment: dict[str, object]) -> None:
        """Power on. The environment reaches every service in it; `syslog_port` of the host leads to its port 5140."""
        self.console = self.directory / f"console-{environment['POWERCUT_ROUND']}.log"
        settings = "".join(f" systemd.setenv={name}={value}" for name, value in environment.items())
        command = [
            "qemu-system-x86_64", "-accel", "tcg", "-smp", "1", "-m", str(MEMORY), "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", "-serial", f"file:{self.console}",
            "-kernel", str(self.work / "vmlinuz"), "-initrd", str(self.work / "initrd.img"),
            # fsck.repair as Raspberry Pi OS has it: nobody is there to answer fsck's questions.
            "-append", f"root=/dev/vda ro console=ttyS0 fsck.repair=yes panic=10{settings}",
            "-device", "virtio-net-pci,netdev=net,romfile=",
            "-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{syslog_port}-:5140",
        ]  # fmt: skip
        for server in self._servers:
            # A write cache that the guest knows of: it flushes where it needs to, as with a real drive.
            command += ["-drive", f"file=nbd:unix:{server.path},format=raw,if=virtio,cache=writeback"]
        with open(self.directory / "qemu.log", "ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)

    def alarms(self) -> list[str]:
        """What the agent and systemd said in this life about things that should not happen."""
        found = re.findall(r"edgebit(?:\.service|\[\d+\]): (.*)", self.console.read_text(errors="replace"))
        return [text.strip() for text in found if any(word in text for word in _ALARMS)]

    def stored(self) -> int:
        """Records that the agent found on its disk in this life."""
        found = re.search(r"(\d+) records from before the start wait", self.console.read_text(errors="replace"))
        return int(found[1]) if found else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL: the kernel in it writes nothing any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def cut(self) -> list[tuple[int, int]]:
        """The power fails, for the drives, too: for each, sectors of its cache that were kept and lost."""
        self.kill()
        for server in self._servers:
            server.wait_idle()
        return [drive.cut() for drive in self.drives]

    def wait_off(self, seconds: float) -> bool:
        """Until it has shut down by itself; whether it did."""
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        for server, drive in zip(self._servers, self.drives):
            server.wait_idle()
            drive.flush()
        return True

    def file(self, name: str) -> bytes:
        """A file of the second drive, after a shutdown."""
        return extract(self.directory / "data.img", name)

    def close(self) -> None:
        self.kill()
        for server, drive in zip(self._servers, self.drives):
            server.close()
            drive.close()
