"""Errors, named by who must act.

The exit code is part of the class, so that a unit file can rely on it: systemd must not restart on 78
(RestartPreventExitStatus=78), because only a person can mend a configuration.
"""

from __future__ import annotations

import os


class EdgebitError(Exception):
    """Base of all errors that edgebit raises on purpose; its text is meant for the user."""

    exit_code = 1


class ConfigError(EdgebitError):
    """The user must change the configuration.

    `where` is "file:line" or "file", `key` the offending key; both are printed in front of the message.
    """

    exit_code = 78  # EX_CONFIG of sysexits.h

    def __init__(self, message: str, where: str = "", key: str = "") -> None:
        self.message, self.where, self.key = message, where, key
        super().__init__(message)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class ConfigErrors(ConfigError):
    """Several at once, one a line, so that a person can mend them all in one go."""

    def __init__(self, errors: list[ConfigError]) -> None:
        self.errors = errors
        super().__init__("\n".join(map(str, errors)))


class SourceError(EdgebitError):
    """A device, file, port or peer is not there; the agent tries again, nobody must act at once."""


class StateError(EdgebitError):
    """The state directory cannot be used (wrong owner, second process): the user must act."""

    exit_code = 73  # EX_CANTCREAT of sysexits.h


def reason(error: BaseException) -> str:
    """One short clause for a log line: the system's words for an OSError, without "[Errno 13]"."""
    if isinstance(error, OSError) and error.errno is not None:
        text = error.strerror or os.strerror(error.errno)
        return f"{text}: {error.filename}" if error.filename is not None else text
    text = str(error)
    return text if isinstance(error, EdgebitError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


def nearest(word: str, choices: list[str]) -> str:
    """The choice closest to `word`, or "" if none is close. difflib is imported only when there is an error."""
    import difflib

    found = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.5)
    return found[0] if found else ""
