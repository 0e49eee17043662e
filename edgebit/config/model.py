"""What every config loader gives: sections of settings, each with its place in the file. No syntax, no plugins."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.options import Setting

KINDS = ("input", "parser", "multiline_parser", "filter", "output")


class Section:
    """One plugin's part of a config file. `plugin` is its name as written, `where` the place of the section."""

    def __init__(self, kind: str, plugin: str, settings: list[Setting], where: str,
                 buffer: list[Setting] | None = None) -> None:  # fmt: skip
        self.kind, self.plugin, self.settings, self.where = kind, plugin, settings, where
        self.buffer = buffer or []  # an output's [output.buffer]


class Config:
    """A whole configuration; sections are in file order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.service: list[Setting] = []
        self.sections: dict[str, list[Section]] = {kind: [] for kind in KINDS}
