"""Builds what the virtual machine boots: a Debian 12 with edgebit on it, installed by tools/install.

    WORK/base          debootstrap's result, made once
    WORK/wheels        what edgebit depends on, fetched once
    WORK/root          a copy of base with edgebit; made again when the checkout has changed
    WORK/root.img      that as an ext4 file system, never written to: each run takes a copy
    WORK/vmlinuz, WORK/initrd.img

Needs root (debootstrap, chroot), the network the first time, and the packages debootstrap, e2fsprogs and python3-pip.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,udev,kmod,python3,python3-venv,linux-image-cloud-amd64"
_INSTALLED = ("edgebit", "systemd", "tools/install", "tools/setup", "tools/powerlab/guest.py", "tools/powerlab/image.py",
              "pyproject.toml")  # fmt: skip
# pip builds edgebit itself in the root: setuptools and wheel, too.
WHEELS = ("setuptools>=68", "wheel", "pyserial", "psutil", "cbor2", "h11")

CONFIG = """\
[[input]]
plugin = "tail"
tag = "synced"
path = "/data/synced.log"
read_from_head = true

[[input]]
plugin = "tail"
tag = "lazy"
path = "/data/lazy.log"
read_from_head = true

[[input]]
plugin = "syslog"
tag = "syslog"
mode = "tcp"
port = 5140

[[output]]
plugin = "http"
url = "http://10.0.2.2:${POWERCUT_COLLECTOR:-9880}/"
format = "cbor_rows"
retry.cap = "5s"                # a minute is right for a fleet; here it would only make the test long

[output.buffer]
storage = "${POWERCUT_STORAGE:-memory}"
sync = "${POWERCUT_SYNC:-1s}"
"""

_UNIT = """\
[Unit]
Description=powercut: {what}
{after}
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/guest.py {what}
[Install]
WantedBy=multi-user.target
"""

FILES = {
    "etc/edgebit/edgebit.toml": CONFIG,
    "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n/dev/vdb /data ext4 defaults 0 2\n",
    "etc/hostname": "powercut\n",
    "etc/hosts": "127.0.0.1 localhost powercut\n",
    # An address and no gateway: the host's loopback can be reached and nothing else.
    "etc/systemd/network/10-all.network": "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\n",
    # In memory, so that the journal's syncs don't make edgebit's data durable by accident.
    "etc/systemd/journald.conf.d/powercut.conf": "[Journal]\nStorage=volatile\nForwardToConsole=yes\nMaxLevelConsole=info\n",
    "etc/systemd/system/powercut-load.service": _UNIT.format(what="load", after="RequiresMountsFor=/data"),
    "etc/systemd/system/powercut-ready.service": _UNIT.format(what="ready", after="After=edgebit.service"),
}
_ENABLED = ("edgebit", "powercut-load", "powercut-ready", "systemd-networkd")
_MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
           "e2scrub_reap.service", "getty-static.service", "getty.target", "systemd-update-utmp.service",
           "systemd-update-utmp-runlevel.service", "systemd-networkd-wait-online.service", "getty@tty1.service",
           "serial-getty@ttyS0.service", "systemd-pstore.service")  # fmt: skip
_MODULES = "virtio_pci\nvirtio_blk\next4\ncrc32c_generic\n"  # all that this machine needs to find its root


def build(work: Path) -> None:
    """Make what is missing or out of date below `work`."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "base").exists():
        _say(f"debootstrap of {SUITE} into {work}/base (once)")
        _base(work / "base.new")
        (work / "base.new").rename(work / "base")
    if not (work / "wheels").exists():
        _say("fetching what edgebit depends on (once)")
        _wheels(work / "wheels.new")
        (work / "wheels.new").rename(work / "wheels")
    stamp = work / "stamp"
    now = _fingerprint()
    if not stamp.exists() or stamp.read_text() != now:
        _say(f"installing this checkout into {work}/root")
        stamp.unlink(missing_ok=True)
        _root(work)
        stamp.write_text(now)


def _base(root: Path) -> None:
    _remove(root)
    _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root)
    # The initial RAM disk is unpacked by an emulated processor at every boot: only what is needed.
    (root / "etc/initramfs-tools/modules").write_text(_MODULES)
    (root / "etc/initramfs-tools/conf.d/powercut").write_text("MODULES=list\nCOMPRESS=gzip\nFSTYPE=ext4\n")
    (root / "etc/fstab").write_text(FILES["etc/fstab"])
    _run("chroot", root, "update-initramfs", "-u")
    _run("chroot", root, "apt-get", "clean")


def _wheels(directory: Path) -> None:
    _remove(directory)
    _run(sys.executable, "-m", "pip", "download", "-q", "-d", directory, "--only-binary=:all:", "--python-version",
         "3.11", "--platform", "manylinux2014_x86_64", "--platform", "any", *WHEELS)  # fmt: skip


def _root(work: Path) -> None:
    root, new = work / "root", work / "root.new"
    _remove(new)
    _run("cp", "-a", work / "base", new)
    for name, text in FILES.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_text(text)
    (new / "data").mkdir()
    source = new / "usr/src/edgebit"
    skip = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
    for name in ("edgebit", "tools", "systemd", "configs"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source / name)
    shutil.copytree(work / "wheels", new / "usr/src/wheels")
    shutil.copy(CHECKOUT / "tools/powerlab/guest.py", new / "usr/local/lib/guest.py")
    # A mount that goes with its namespace; bash needs /proc for <(...).
    _run("unshare", "--mount", "sh", "-c", 'mount -t proc proc "$0/proc" && exec chroot "$0" env "$@"', new,
         "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/usr/src/wheels", "PIP_CONFIG_FILE=/dev/null", "HOME=/root",
         "/usr/src/edgebit/tools/install", "--no-start")  # fmt: skip
    _run("chroot", new, "systemctl", "-q", "enable", *_ENABLED)
    _run("chroot", new, "systemctl", "-q", "mask", *_MASKED)
    for kind in ("vmlinuz", "initrd.img"):
        (found,) = (new / "boot").glob(f"{kind}-*")
        shutil.copy(found, work / kind)
    make_filesystem(work / "root.img", 1200, new)
    _remove(root)
    new.rename(root)


def make_filesystem(image: Path, megabytes: int, content: Path | None = None) -> None:
    """An ext4 file system with Debian's defaults, in a sparse file, with what is in a directory."""
    image.unlink(missing_ok=True)
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    _run("mke2fs", "-q", "-F", "-t", "ext4", *(("-d", content) if content else ()), image)


def extract(image: Path, name: str) -> bytes:
    """A file from an ext4 image that was unmounted cleanly."""
    return subprocess.run([_tool("debugfs"), "-R", f"cat {name}", image], check=True, capture_output=True).stdout


def _fingerprint() -> str:
    """Changes when something that is installed does."""
    digest = hashlib.sha256()
    for name in _INSTALLED:
        top = CHECKOUT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _tool(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise SystemExit(
            f"powercut: {name} is missing: apt-get install debootstrap e2fsprogs qemu-system-x86 python3-pip"
        )
    return path


def _run(command: str, *args: object) -> None:
    """Its output is shown only if it fails."""
    env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    env.pop("PYTHONPATH", None)
    done = subprocess.run([_tool(command) if "/" not in command else command, *map(str, args)], env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"powercut: {command} failed:\n" + "\n".join(done.stdout.splitlines()[-20:]))


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _say(text: str) -> None:
    print(f"powercut: {text}", file=sys.stderr, flush=True)
