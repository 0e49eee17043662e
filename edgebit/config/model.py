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
        self.notes: list[str] = []  # what the loader made of it, for `edgebit convert`

    def given(self, key: str) -> Setting | None:
        """The setting of a key, the last one if there are several."""
        return next((setting for setting in reversed(self.settings) if setting.key.lower() == key), None)


class Config:
    """A whole configuration; sections are in file order. `classic`: it came in Fluent Bit's syntax."""

    def __init__(self, path: str, classic: bool = False) -> None:
        self.path, self.classic = path, classic
        self.settled = False  # see tables.settle
        self.service: list[Setting] = []
        self.output_defaults: list[Setting] = []  # for outputs that have these options and don't say otherwise
        self.sections: dict[str, list[Section]] = {kind: [] for kind in KINDS}
        self._warnings: dict[tuple[str, str], list[str]] = {}

    def warn(self, where: str, key: str, text: str) -> None:
        """Keep something that a person should know. The same about the same key is one warning, however often."""
        places = self._warnings.setdefault((key, text), [])
        if where not in places:
            places.append(where)

    @property
    def warnings(self) -> list[str]:
        """ "file:line: key: what" """
        found = []
        for (key, text), places in self._warnings.items():
            more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
            found.append(": ".join(part for part in (places[0] + more, key, text) if part))
        return found
