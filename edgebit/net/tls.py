"""TLS for the client side: its options, a context made from them, and what its errors mean in plain words.

The context is made anew when one of the files has changed, so a rotated certificate needs no restart; a file that is
missing or wrong is a SourceError that names it, since certificates may be put there after the agent has started. The
ssl module is imported only when TLS is on.
"""

from __future__ import annotations

import os

from edgebit.errors import SourceError
from edgebit.options import Option, boolean, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

    from edgebit.options import Options

TLS_OPTIONS = (
    Option("tls", boolean, False, "encrypt the connection with TLS"),
    Option("tls.verify", boolean, True, "check that the peer's certificate comes from an authority that is trusted"),
    # Fluent Bit leaves this off, which lets anybody with any valid certificate stand in the middle.
    Option(
        "tls.verify_hostname", boolean, True, "check that the peer's certificate is for the host that was asked for"
    ),
    Option(
        "tls.ca_file", string, "", "file with the trusted authorities, PEM; the system's if neither this nor ca_path"
    ),
    Option("tls.ca_path", string, "", "directory with the trusted authorities, PEM, as made by openssl rehash"),
    Option("tls.crt_file", string, "", "file with this device's certificate and its chain, PEM"),
    Option("tls.key_file", string, "", "file with the private key of tls.crt_file, PEM; may be in the same file"),
    Option("tls.key_passwd", string, "", "password of the private key", secret=True),
    Option("tls.min_version", ("tlsv1.2", "tlsv1.3"), "tlsv1.2", "oldest version of TLS that is spoken"),
    Option("tls.max_version", ("tlsv1.2", "tlsv1.3"), "tlsv1.3", "newest version of TLS that is spoken"),
    Option(
        "tls.ciphers", string, "", "ciphers for TLS up to 1.2, in OpenSSL's form (ciphers(1)); by default the system's"
    ),
    Option("tls.vhost", string, "", "name to ask for and to check the certificate against, if it is not the host"),
)


class ClientTLS:
    """The TLS context of one output, made from its `TLS_OPTIONS` and made again when a file has changed."""

    def __init__(self, opt: Options) -> None:
        self._opt = opt
        self._context: ssl.SSLContext | None = None
        self._stamp: list[tuple[int, ...]] = []

    def context(self) -> ssl.SSLContext | None:
        """For the next connection; None if TLS is off. Raises SourceError naming the file that is missing or wrong."""
        if not self._opt.tls:
            return None
        stamp = self._stamps()
        if self._context is None or stamp != self._stamp:
            self._context = client_context(self._opt)
            self._stamp = stamp  # taken before the files were read: a change in between is seen the next time
        return self._context

    def _stamps(self) -> list[tuple[int, ...]]:
        opt = self._opt
        stamps: list[tuple[int, ...]] = []
        for path in (opt.tls_ca_file, opt.tls_ca_path, opt.tls_crt_file, opt.tls_key_file):
            try:
                found = os.stat(path) if path else None
            except OSError:
                found = None  # client_context says what is wrong with it
            # The inode too: a replacement may carry an old time, as `cp -p` and a clock that went back make them.
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino) if found else ())
        return stamps


def client_context(opt: Options) -> ssl.SSLContext | None:
    """A context from `TLS_OPTIONS`; None if TLS is off. Raises SourceError naming the file that is missing or wrong."""
    if not opt.tls:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _version(opt.tls_min_version)
    context.maximum_version = _version(opt.tls_max_version)
    if opt.tls_ciphers:
        try:
            context.set_ciphers(opt.tls_ciphers)
        except ssl.SSLError:
            raise SourceError(f"tls.ciphers {opt.tls_ciphers}: there is none of these") from None
    context.check_hostname = opt.tls_verify and opt.tls_verify_hostname
    if not opt.tls_verify:
        context.verify_mode = ssl.CERT_NONE
    elif opt.tls_ca_file or opt.tls_ca_path:
        if opt.tls_ca_file:
            _read("tls.ca_file", opt.tls_ca_file)
            try:
                context.load_verify_locations(opt.tls_ca_file)
            except ssl.SSLError:
                raise SourceError(f"tls.ca_file {opt.tls_ca_file}: no PEM certificate in it") from None
        if opt.tls_ca_path:
            if not os.path.isdir(opt.tls_ca_path):
                raise SourceError(f"tls.ca_path {opt.tls_ca_path}: no such directory")
            context.load_verify_locations(capath=opt.tls_ca_path)
    else:
        context.load_default_certs()
    if opt.tls_crt_file:
        _load_own(context, opt)
    return context


def _version(name: str) -> ssl.TLSVersion:
    import ssl

    return ssl.TLSVersion.TLSv1_3 if name == "tlsv1.3" else ssl.TLSVersion.TLSv1_2


def _load_own(context: ssl.SSLContext, opt: Options) -> None:
    import ssl

    certificate, key = opt.tls_crt_file, opt.tls_key_file or opt.tls_crt_file
    if b"-----BEGIN CERTIFICATE-----" not in _read("tls.crt_file", certificate):
        raise SourceError(f"tls.crt_file {certificate}: no PEM certificate in it")
    if b"PRIVATE KEY-----" not in _read("tls.key_file", key):
        raise SourceError(f"tls.key_file {key}: no PEM private key in it")
    try:
        # A callable in any case: without one OpenSSL asks on the terminal for the password of an encrypted key.
        context.load_cert_chain(certificate, key, lambda: opt.tls_key_passwd)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SourceError(f"tls.key_file {key}: it is not the key of tls.crt_file {certificate}") from None
        raise SourceError(f"tls.key_file {key}: cannot be read; damaged, or a wrong tls.key_passwd") from None


def _read(option: str, path: str) -> bytes:
    # OpenSSL doesn't name the file in its errors, so it is opened here first.
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise SourceError(f"{option} {path}: {os.strerror(error.errno or 0)}") from None


# OpenSSL's verify codes (x509_vfy.h) that a person can do something about.
_ADVICE = {
    9: "is this device's clock right?",  # not yet valid
    10: "is this device's clock right?",  # expired
    18: "check tls.ca_file",  # self-signed
    19: "check tls.ca_file",  # self-signed in the chain
    20: "check tls.ca_file",  # issuer not found
    21: "check tls.ca_file",  # first certificate not verifiable
    62: "check host and tls.vhost",  # name
    64: "check host and tls.vhost",  # IP address
}


def explain(error: Exception) -> str:
    """Why a connection failed, in one clause for a person; TLS errors say which option to look at."""
    code = getattr(error, "verify_code", None)
    if code is not None:
        message = getattr(error, "verify_message", "").rstrip(".")
        advice = _ADVICE.get(code)
        return f"certificate verify failed: {message}" + (f" ({advice})" if advice else "")
    if type(error).__name__ in ("SSLEOFError", "SSLZeroReturnError"):
        return "closed by the peer"
    alert = getattr(error, "reason", None)  # of an ssl.SSLError: OpenSSL's name of what went wrong
    if isinstance(alert, str):
        if alert in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"):
            return "the peer does not speak TLS"
        text = alert.lower().replace("_", " ")
        if "CERTIFICATE" in alert or "UNKNOWN_CA" in alert:
            return f"the peer refuses our certificate: {text} (check tls.crt_file)"
        return f"TLS: {text}"
    if isinstance(error, OSError) and error.errno:
        return (os.strerror(error.errno) or str(error)).lower()
    return str(error) or type(error).__name__
