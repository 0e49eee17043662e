"""Config files to typed sections. Two syntaxes, one result: `Config`, with the place of every key for error messages.

Loaders know the syntax and nothing of plugins; option tables are applied later, by the agent's builder.
"""

from __future__ import annotations

from edgebit.errors import ConfigError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgebit.config.model import Config


def load(path: str, env: Mapping[str, str]) -> Config:
    """Read a config file. Raises ConfigError with file, line and key."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise ConfigError(f"cannot read the configuration: {reason(error)}") from None
    if not path.endswith(".toml"):
        raise ConfigError("not a .toml file; this version reads the native TOML syntax only", path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text", f"{path}:{line}") from None
    from edgebit.config.toml import parse

    return parse(text, path, env)
