"""Config files to typed sections. Two syntaxes, one result: `Config`, with the place of every key for error messages.

The extension tells the syntax: .toml is edgebit's own, anything else Fluent Bit's classic one. Loaders know the syntax
and nothing of plugins; option tables are applied later, by the agent's builder.
"""

from __future__ import annotations

from edgebit.errors import ConfigError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgebit.config.model import Config


def is_classic(path: str) -> bool:
    """Whether a file is read as classic. Raises ConfigError for what isn't read at all."""
    if path.lower().endswith((".yaml", ".yml")):
        raise ConfigError("YAML is not read yet; use Fluent Bit's classic format (.conf) or TOML (.toml)", path)
    return not path.lower().endswith(".toml")


def load(path: str, env: Mapping[str, str]) -> Config:
    """Read a config file. Raises ConfigError with file, line and key."""
    if is_classic(path):
        from edgebit.config import fluentbit

        return fluentbit.load(path, env)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the configuration: {reason(error)}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text", f"{path}:{line}") from None
    from edgebit.config.toml import parse

    return parse(text, path, env)
