"""``${VAR}`` in config values: the shell's spellings for "or else".

    ${VAR}            its value; an error if it is not set
    ${VAR:-default}   the default if it is unset or empty
    ${VAR:?message}   an error with this message if it is unset or empty
    $${               a literal "${"

HOSTNAME is always set: to the environment's, or else to the system's host name.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$\{)|\$\{(?P<name>\w+)(?:(?P<op>:-|:\?)(?P<word>[^}]*))?\}|(?P<bad>\$\{)")


class Unset(ValueError):
    """A variable without value; the text says which and what to do."""


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
            import socket

            found = socket.gethostname()
        if found or (op is None and name in env):
            return found
        if op == ":-":
            return word
        if op == ":?":
            raise Unset(f"{name} is not set: {word or 'it is required'}")
        raise Unset(f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}")

    return _REFERENCE.sub(value, text)
