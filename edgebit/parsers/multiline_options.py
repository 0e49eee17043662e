"""[[multiline_parser]] and [MULTILINE_PARSER]: their options, and the definitions that are there without one.

The built-in ones have Fluent Bit's names, states and rules. They are given in the form in which a user would write them, so
that they go the same way.
"""

from __future__ import annotations

import re

from edgebit.errors import ConfigError
from edgebit.onigmo import compile_regex
from edgebit.options import REQUIRED, BadValue, Option, boolean, milliseconds, plugin_ref, string
from edgebit.parsers.multiline import START, Definition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from edgebit.onigmo import Pattern
    from edgebit.options import Options

    Rule = tuple[tuple[str, ...], Pattern, str]

_QUOTED = re.compile(r'\s*"([^"]*)"\s+"(.*)"\s+"([^"]*)"\s*', re.DOTALL)
_FORM = 'a rule such as "start_state" "/^BEGIN/" "next_state"'


def rule(value: object) -> Rule:
    """The states (with commas between), an expression, the state that follows: three texts in quotes, or a list of three.

    Raises BadValue.
    """
    if isinstance(value, list):
        parts = [str(part) for part in value]
    else:
        found = _QUOTED.fullmatch(str(value))
        parts = list(found.groups()) if found is not None else str(value).split()
    if len(parts) != 3:
        raise BadValue(_FORM)
    states = tuple(state.strip() for state in parts[0].split(",") if state.strip())
    following = parts[2].strip()
    if not states or not following:
        raise BadValue(_FORM)
    return states, compile_regex(parts[1]), following


OPTIONS = (
    Option("name", string, REQUIRED, "what multiline.parser calls it by"),
    Option("type", ("regex", "endswith", "equal", "eq"), "regex", "how lines are known to belong together"),
    Option("match_string", string, "", "for endswith and equal: what the last line of a block ends with, or is"),
    Option("negate", boolean, False, "for endswith and equal: the last line is the first that doesn't"),
    Option("flush_timeout", milliseconds, 4.0, "time in ms after which a block is complete that no line continues",
           minimum=0.001),
    Option("key_content", string, "", "the field whose text is joined; without it lines are plain text"),
    Option("key_pattern", string, "", "the field that match_string is compared with; by default key_content"),
    Option("key_group", string, "", "a field whose values are joined apart from one another, such as stream"),
    Option("parser", plugin_ref, "", "a parser that lines go through first"),
    Option("rule", rule, [], "for regex: states, expression and next state; the first must have start_state",
           multiple=True),
)  # fmt: skip


def definition(opt: Options, limit: int) -> Definition:
    """From typed options, with `parser` in its place. Raises ConfigError with the key."""
    kind = "equal" if opt.type == "eq" else opt.type
    rules: list[Rule] = opt.rule
    if kind == "regex":
        if not rules:
            raise ConfigError(f"a multiline parser of type regex needs rules, each {_FORM}", key="rule")
        if START not in rules[0][0]:
            raise ConfigError(f'the first rule must be one of the state "{START}"', key="rule")
        known = {state for states, _, _ in rules for state in states}
        for _, _, following in rules:
            if following not in known:
                raise ConfigError(f'no rule is of the state "{following}" that another one leads to', key="rule")
    elif not opt.match_string:
        raise ConfigError(f"a multiline parser of type {kind} needs match_string", key="match_string")
    elif rules:
        raise ConfigError(f"a multiline parser of type {kind} has no rules", key="rule")
    if opt.parser and not opt.key_content:
        raise ConfigError("with a parser, key_content must say which of its fields is joined", key="key_content")
    return Definition(opt.name, kind, match_string=opt.match_string, negate=opt.negate, flush_timeout=opt.flush_timeout,
                      key_content=opt.key_content, key_pattern=opt.key_pattern, key_group=opt.key_group,
                      parser=opt.parser or None, limit=limit,
                      rules=[(states, pattern.find, following) for states, pattern, following in rules])  # fmt: skip


_FRAMES = (
    r"^[\t ]+(?:eval )?at |^[\t ]*... \d+ (?:more|common frames omitted)"
    r"|^[\t ]+--- End of inner exception stack trace ---$"
    r"|^--- End of stack trace from previous location where exception was thrown ---$"
)
BUILT_IN: dict[str, dict[str, Any]] = {
    # Container runtimes cut long lines into parts: docker's last one ends with a newline, that of CRI has the flag F.
    "docker": {"type": "endswith", "match_string": "\n", "key_content": "log", "key_group": "stream",
               "parser": "_ml_json_docker"},
    "cri": {"type": "equal", "match_string": "F", "key_content": "log", "key_pattern": "_p", "key_group": "stream",
            "parser": "_ml_cri"},
    "go": {"rule": [
        ["start_state", r"\bpanic: ", "go_after_panic"],
        ["start_state", r"http: panic serving", "go_goroutine"],
        ["go_after_panic, go_after_signal, go_frame_1", r"^$", "go_goroutine"],
        ["go_after_panic", r"^\[signal ", "go_after_signal"],
        ["go_goroutine", r"^goroutine \d+ \[[^\]]+\]:$", "go_frame_1"],
        ["go_frame_1", r"^(?:[^\s.:]+\.)*[^\s.():]+\(|^created by ", "go_frame_2"],
        ["go_frame_2", r"^\s", "go_frame_1"],
    ]},
    # Also of C#, Node.js and others that print frames with "at".
    "java": {"rule": [
        ["start_state, java_start_exception", r".(?:Exception|Error|Throwable|V8 errors stack trace)[:\r\n]",
         "java_after_exception"],
        ["java_after_exception", r"^[\t ]*nested exception is:[\t ]*", "java_start_exception"],
        ["java_after_exception", r"^[\r\n]*$", "java_after_exception"],
        ["java_after_exception, java", _FRAMES, "java"],
        ["java_after_exception, java", r"^[\t ]*(?:Caused by|Suppressed):", "java_after_exception"],
    ]},
    "python": {"rule": [
        ["start_state", r"^Traceback \(most recent call last\):$", "python"],
        ["python", r"^[\t ]+File ", "python_code"],
        ["python_code", r"[^\t ]", "python"],
        ["python", r"^(?:[^\s.():]+\.)*[^\s.():]+:", "start_state"],
    ]},
    "ruby": {"rule": [
        ["start_state", r"^.+:\d+:in\s+", "ruby"],
        ["ruby", r"^\s+from\s+.*:\d+:in\s+", "ruby"],
    ]},
}  # fmt: skip
