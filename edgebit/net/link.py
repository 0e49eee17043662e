"""A connection to one peer that is made when there is something to send, for the HTTP client and the outputs tcp and syslog.

It holds what is there: a `Connector` while the connection is being made, then a `Stream`, and one timer, for whatever the
subclass waits for next.
"""

from __future__ import annotations

from edgebit.errors import SourceError
from edgebit.net.connect import Connector, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from edgebit.loop import Timer
    from edgebit.plugin import Context


class Link:
    """See the module's docstring.

    host, port, server_name  as for Connector
    tls                      called for each connection: an ssl.SSLContext or None; may raise SourceError
    connect_timeout          seconds for look-up, TCP and TLS together
    """

    def __init__(self, ctx: Context, host: str, port: int, tls: Callable[[], ssl.SSLContext | None], server_name: str,
                 connect_timeout: float) -> None:  # fmt: skip
        self._ctx, self.host, self.port = ctx, host, port
        self._tls, self._server_name, self._connect_timeout = tls, server_name, connect_timeout
        self._connector: Connector | None = None
        self._stream: Stream | None = None
        self._timer: Timer | None = None

    def _on_connected(self, sock: socket.socket) -> None:
        """The connection is made: put a Stream over it."""
        raise NotImplementedError

    def _fail(self, why: str) -> None:
        """The connection can't be made."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back; nobody is answered any more."""
        if self._connector is not None:
            self._connector.cancel()
            self._connector = None
        self._disconnect()

    def _connect(self) -> None:
        try:
            tls = self._tls()
        except SourceError as error:
            why = str(error)
            self._set_timer(0, lambda: self._fail(why))
            return
        self._connector = Connector(self._ctx, self.host, self.port, self._connected, tls=tls,
                                    server_name=self._server_name, timeout=self._connect_timeout)  # fmt: skip
        self._connector.start()

    def _connected(self, sock: socket.socket | None, why: str) -> None:
        self._connector = None
        if sock is None:
            self._fail(why)
        else:
            self._on_connected(sock)

    def _set_timer(self, seconds: float, call: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._ctx.call_later(seconds, call)

    def _disconnect(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stream is not None:
            self._stream.close()
            self._stream = None
