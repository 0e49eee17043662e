"""Fluent Bit's storage keys as edgebit's per-output buffers.

There, storage belongs to inputs, and limits to both ends; here every output has a buffer of its own, which is bounded in
memory and on disk. So an output gets what its inputs ask for:

    [SERVICE] storage.path          the state directory, and leave to use the disk: buffers become hybrid
    [SERVICE] storage.sync          full: sync = "always"
    [SERVICE] scheduler.base, .cap  retry.first, retry.cap
    [INPUT] storage.type            filesystem: storage = "filesystem" for the outputs that take its tag;
                                    memrb: overflow = "drop_oldest" for them
    [INPUT] Mem_Buf_Limit           memory of these outputs, summed up over their inputs
    [OUTPUT] storage.total_limit_size   disk, and overflow = "drop_oldest"

Without storage.path nothing is written to disk, as there.
"""

from __future__ import annotations

from edgebit import match
from edgebit.errors import ConfigError, nearest
from edgebit.options import BadValue, Setting, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from edgebit.config.model import Config, Section

_TYPES = ("memory", "filesystem", "memrb")
_DEFAULT_MEMORY = 8 * 2**20  # of an input without Mem_Buf_Limit
_LEAST_MEMORY, _LEAST_DISK = 64 * 2**10, 2**20
_OFF = ("off", "false", "no", "0")


class Defaults:
    """What [SERVICE] says about storage and retries."""

    def __init__(self) -> None:
        self.path: Setting | None = None
        self.sync: Setting | None = None
        self.type: Setting | None = None
        self.retry: list[Setting] = []

    def take(self, setting: Setting) -> bool:
        """Keep a key of [SERVICE] that is about storage; False if it isn't. Raises ConfigError."""
        if setting.key in ("storage.path", "state_dir"):
            self.path = setting
        elif setting.key == "storage.type":
            _one_of(setting, _TYPES)
            self.type = setting
        elif setting.key == "storage.sync":
            _one_of(setting, ("normal", "full"))
            self.sync = setting
        elif setting.key in ("scheduler.base", "scheduler.cap"):
            key = {"scheduler.base": "retry.first", "scheduler.cap": "retry.cap"}[setting.key]
            self.retry = [other for other in self.retry if other.key != key]
            self.retry.append(Setting(key, setting.value, setting.where, setting.source))
        else:
            return False
        return True


class _Feed:
    """What one input asks of the buffers that its records go to."""

    def __init__(self, section: Section, index: int, default: Setting | None) -> None:
        tag = section.given("tag")
        self.tag = str(tag.value) if tag else f"{section.plugin.lower()}.{index}"
        kind = _take(section, "storage.type") or default
        self.type = _one_of(kind, _TYPES) if kind else "memory"
        self.type_where = kind.where if kind else ""
        self.limit_setting = _take(section, "mem_buf_limit")
        self.limit = _bytes(self.limit_setting)

    def reaches(self, section: Section, retagged: bool) -> bool:
        """Whether an output may get its records: yes, unless its pattern can be seen not to match."""
        pattern = section.given("match")
        if retagged or pattern is None or section.given("match_regex") or "*" in self.tag or "<" in self.tag:
            return True
        return match.wildcard(str(pattern.value))(self.tag)


def apply(config: Config, defaults: Defaults) -> None:
    """Give each output its buffer. Raises ConfigError."""
    feeds = [_Feed(section, i, defaults.type) for i, section in enumerate(config.sections["input"])]
    for feed in feeds:
        if feed.type == "filesystem" and defaults.path is None:
            raise ConfigError("filesystem needs storage.path in [SERVICE]", feed.type_where, "storage.type")
    if defaults.path is not None:
        path = defaults.path
        config.service.append(Setting("state_dir", path.value, path.where, path.source))
    else:
        config.service.append(Setting("state_dir", "none", config.path))
    retagged = any(section.plugin.lower() == "rewrite_tag" for section in config.sections["filter"])
    for section in config.sections["output"]:
        _buffer(config, defaults, section, [feed for feed in feeds if feed.reaches(section, retagged)])


def _buffer(config: Config, defaults: Defaults, section: Section, feeds: list[_Feed]) -> None:
    limit = _take(section, "storage.total_limit_size")
    given = {setting.key for setting in section.settings}
    section.settings += [setting for setting in defaults.retry if setting.key not in given]
    own = [
        setting for setting in section.settings if setting.key.startswith("buffer.")
    ]  # edgebit's own, in this syntax
    section.settings = [setting for setting in section.settings if setting not in own]
    found: dict[str, Setting] = {}

    def put(key: str, value: str, where: str, note: str = "") -> None:
        found[key] = Setting(key, value, where)
        if note:
            section.notes.append(note)

    if any(feed.type == "filesystem" for feed in feeds):
        put("storage", "filesystem", section.where, "storage: its inputs have storage.type filesystem")
        if limit is not None and (most := _bytes(limit)):
            put("disk", str(max(most, _LEAST_DISK)), limit.where, "disk, overflow: storage.total_limit_size")
            put("overflow", "drop_oldest", limit.where)
            if most < _LEAST_DISK:
                config.warn(limit.where, limit.key, "a buffer on disk has at least 1 MiB here")
    elif defaults.path is None:
        put("storage", "memory", section.where, "storage: there is no storage.path")
    if defaults.sync is not None and str(defaults.sync.value).lower() == "full":
        put("sync", "always", defaults.sync.where, "sync: storage.sync full")
    limits = [feed for feed in feeds if feed.limit]
    if limits:
        total = sum(feed.limit or _DEFAULT_MEMORY for feed in feeds)
        setting = limits[0].limit_setting
        put(
            "memory",
            str(max(total, _LEAST_MEMORY)),
            setting.where if setting else "",
            "memory: Mem_Buf_Limit of its inputs",
        )
    if any(feed.type == "memrb" for feed in feeds):
        put("overflow", "drop_oldest", section.where, "overflow: an input has storage.type memrb")
    for setting in own:
        key = setting.key.removeprefix("buffer.")
        found[key] = Setting(key, setting.value, setting.where, setting.source)
    section.buffer = list(found.values())


def _take(section: Section, key: str) -> Setting | None:
    found = section.given(key)
    if found is not None:
        section.settings.remove(found)
    return found


def _one_of(setting: Setting, choices: tuple[str, ...]) -> str:
    text = str(setting.value).lower()
    if text not in choices:
        near = nearest(text, list(choices))
        hint = f' (did you mean "{near}"?)' if near else ""
        raise ConfigError(
            f"must be one of {', '.join(choices)}{hint}, not {setting.value!r}", setting.where, setting.key
        )
    return text


def _bytes(setting: Setting | None) -> int:
    """A size; 0 where there is none, or it says that there is no limit. Raises ConfigError."""
    if setting is None or str(setting.value).lower() in _OFF:
        return 0
    try:
        return size(setting.value)
    except BadValue as error:
        raise ConfigError(f"must be {error}, not {setting.value!r}", setting.where, setting.key) from None
