"""sd_notify(3) in a few lines: one datagram to the socket that systemd names in NOTIFY_SOCKET."""

from __future__ import annotations

import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgebit.log import Log


class Notifier:
    """`watchdog` is the interval in seconds in which systemd expects WATCHDOG=1, 0 if it doesn't."""

    def __init__(self, env: Mapping[str, str], log: Log) -> None:
        self._address = env.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]  # the abstract namespace
        self._log = log
        try:
            self.watchdog = int(env.get("WATCHDOG_USEC", "0")) / 1e6 if self._address else 0.0
        except ValueError:
            self.watchdog = 0.0

    def send(self, state: str) -> None:
        """Tell systemd; not being able to is worth a line at debug level only."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode(), self._address)
        except OSError as error:
            self._log.debug(f"cannot notify systemd: {error}")
