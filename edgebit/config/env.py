"""``${VAR}`` in config values: the shell's spellings for "or else".

    ${VAR}            its value; an error if it is not set
    ${VAR:-default}   the default if it is unset or empty
    ${VAR:?message}   an error with this message if it is unset or empty
    $${               a literal "${"

HOSTNAME is always set: to the environment's, or else to the system's host name.

In the classic syntax (`Classic`) a variable that is not set is empty, as in Fluent Bit, and there is no ``$${``.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$\{)|\$\{(?P<name>\w+)(?:(?P<op>:-|:\?)(?P<word>[^}]*))?\}|(?P<bad>\$\{)")
_CLASSIC = re.compile(r"\$\{(?P<name>[^}]*?)(?:(?P<op>:-|:\?)(?P<word>[^}]*))?\}|\$\{")


class Unset(ValueError):
    """A variable without value; the text says which and what to do."""


def _hostname() -> str:
    import socket

    return socket.gethostname()


def expand(text: str, env: Mapping[str, str]) -> str:
    """The text with its references replaced. Raises Unset."""
    if "${" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return "${"
        if match["bad"]:
            raise Unset(
                '"${" does not start a reference such as ${NAME} or ${NAME:-default}; write "$${" for a literal one'
            )
        name, op, word = match["name"], match["op"], match["word"]
        found = env.get(name, "")
        if not found and name == "HOSTNAME":
            found = _hostname()
        if found or (op is None and name in env):
            return found
        if op == ":-":
            return word
        if op == ":?":
            raise Unset(f"{name} is not set: {word or 'it is required'}")
        raise Unset(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")

    return _REFERENCE.sub(value, text)


class Classic:
    """References in the classic syntax: @SET goes before the environment, HOSTNAME is the system's host name."""

    def __init__(self, variables: Mapping[str, str], env: Mapping[str, str]) -> None:
        self._set, self._env = variables, env

    def expand(self, text: str) -> tuple[str, str, list[str]]:
        """The value; the same as TOML would refer to it; the variables in it that are not set. Raises Unset."""
        if "${" not in text:
            return text, text, []
        unset: list[str] = []
        pieces: list[str] = []  # of the text for TOML
        values: list[str] = []
        at = 0
        for match in _CLASSIC.finditer(text):
            values.append(text[at : match.start()])
            pieces.append(text[at : match.start()])
            at = match.end()
            name, op, word = match["name"], match["op"], match["word"]
            if name is None:  # no closing brace: it stands for itself
                values.append("${")
                pieces.append("$${")
                continue
            found = self._set.get(name) or (_hostname() if name == "HOSTNAME" else self._env.get(name, ""))
            reference = match[0] if re.fullmatch(r"\w+", name) else (word or "")
            if (name in self._set and found == self._set[name]) or text[: match.start()].endswith("$"):
                # A constant; or a reference behind a "$", which TOML would take as an escape of it.
                reference = found.replace("${", "$${")
            elif not found and op is None:
                unset.append(name)
                reference = f"${{{name}:-}}" if re.fullmatch(r"\w+", name) else ""
            elif not found and op == ":?":
                raise Unset(f"{name} is not set: {word or 'it is required'}")
            values.append(found or (word or ""))
            pieces.append(reference)
        values.append(text[at:])
        pieces.append(text[at:])
        return "".join(values), "".join(pieces), unset
