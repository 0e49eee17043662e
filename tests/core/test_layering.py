"""Who may import whom (docs/design.md), read from the imports themselves; and other rules about the source."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = sorted((ROOT / "edgebit").rglob("*.py"))

# What each room may import of edgebit. "edgebit.x" means the module or room; a room may always use itself where said.
CONTRACTS = {
    "edgebit.plugin",
    "edgebit.record",
    "edgebit.options",
    "edgebit.errors",
    "edgebit.log",
    "edgebit.stats",
    "edgebit.loop",
}
PURE = {
    "edgebit.plugin",
    "edgebit.record",
    "edgebit.options",
    "edgebit.errors",
    "edgebit.record_accessor",
    "edgebit.onigmo",
    "edgebit.charsets",
    "edgebit.regex_tree",
}
MAY = {
    "inputs": CONTRACTS | {"edgebit.wire", "edgebit.net", "edgebit.inputs", "edgebit.onigmo"},
    "outputs": CONTRACTS | {"edgebit.wire", "edgebit.net", "edgebit.record_accessor"},
    "parsers": PURE | {"edgebit.parsers", "edgebit.wire"},
    # "edgebit" itself: its version
    "filters": PURE | {"edgebit.filters", "edgebit.formats", "edgebit.wire", "edgebit.parsers.multiline", "edgebit"},
    "formats": PURE | {"edgebit.formats"},
    "wire": {"edgebit.errors", "edgebit.wire"},
    "net": CONTRACTS | {"edgebit.wire", "edgebit.net", "edgebit"},
    "config": {"edgebit.config", "edgebit.errors", "edgebit.options", "edgebit.match"},
    "buffer": {"edgebit.buffer", "edgebit.record", "edgebit.errors", "edgebit.plugin"},
    "record": {"edgebit.errors"},
    "plugin": {"edgebit.record", "edgebit.errors", "edgebit.options", "edgebit.log", "edgebit.loop", "edgebit.stats"},
    "options": {"edgebit.errors"},
    "errors": set(),
    "loop": set(),
    "log": set(),
    "stats": {"edgebit.ledger"},
    "ledger": set(),
    "match": set(),
    "charsets": set(),
    "cpu_limit": set(),
    "regex_tree": {"edgebit.charsets"},
    "backtracking": {"edgebit.charsets", "edgebit.regex_tree"},
    "ruby_syntax": {"edgebit.charsets", "edgebit.options"},
    "onigmo": {
        "edgebit.charsets",
        "edgebit.options",
        "edgebit.ruby_syntax",
        "edgebit.backtracking",
        "edgebit.cpu_limit",
        "edgebit.patterns",
    },
    "patterns": {"edgebit.onigmo"},
    "record_accessor": {"edgebit.record", "edgebit.errors", "edgebit.options"},
    "backoff": set(),
    "sender": CONTRACTS | {"edgebit.backoff", "edgebit.buffer"},
    "pipeline": CONTRACTS | {"edgebit.sender", "edgebit.buffer"},
}
IMPURE = {
    "socket",
    "os",
    "time",
    "logging",
    "select",
    "selectors",
    "subprocess",
    "threading",
    "pathlib",
    "io",
    "tempfile",
}
PURE_ROOMS = {"parsers", "filters", "formats", "wire"}


def imports(path, runtime_only=False):
    """(imported module, line) of a file, also those inside functions; without those under TYPE_CHECKING if asked."""
    tree = ast.parse(path.read_text())
    skip = set()
    if runtime_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skip |= {id(child) for part in node.body for child in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:  # "from room import module" is an import of the module
                full = f"{node.module}.{alias.name}"
                is_module = (ROOT / full.replace(".", "/")).with_suffix(".py").exists() or full.startswith("edgebit.__")
                yield full if is_module else node.module, node.lineno


def room(path):
    parts = path.relative_to(ROOT / "edgebit").with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", SOURCE, ids=lambda p: str(p.relative_to(ROOT)))
def test_room_imports_only_what_the_design_allows(path):
    allowed = MAY.get(room(path))
    if allowed is None:
        pytest.skip("the top of the program: agent, build, cli, collector")
    for name, line in imports(path):
        if name.split(".")[0] != "edgebit" or name in ("edgebit.__version__",):
            continue
        assert any(name == a or name.startswith(a + ".") for a in allowed), f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", [p for p in SOURCE if room(p) in PURE_ROOMS], ids=lambda p: str(p.relative_to(ROOT)))
def test_pure_rooms_know_no_socket_file_clock_or_log(path):
    found = {(name, line) for name, line in imports(path) if name.split(".")[0] in IMPURE or name == "edgebit.log"}
    # The local time zone of BSD syslog stamps is a pure function of a number, which only the time module has.
    # What a filter tells of the machine, it must ask.
    allowed = {"time"} if path.name in ("stamps.py", "timefmt.py") else {"os"} if path.name == "sysinfo.py" else set()
    assert {name for name, _ in found} <= allowed


@pytest.mark.parametrize("kind", ["inputs", "outputs", "parsers", "filters"])
def test_plugins_do_not_import_each_other(kind):
    """Modules that define a registered plugin are not imported by another one; shared helpers of a room may be."""
    from edgebit.registry import PLUGINS

    plugins = {place.partition(":")[0] for table in PLUGINS.values() for place in table.values()}
    for path in (p for p in SOURCE if room(p) == kind):
        own = "edgebit." + ".".join(path.relative_to(ROOT / "edgebit").with_suffix("").parts)
        others = {name for name, _ in imports(path)} & (plugins - {own})
        assert not others, f"{path} imports {others}"


def test_no_import_cycles():
    graph = {}
    for path in SOURCE:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[name] = {n for n, _ in imports(path, runtime_only=True) if n.startswith("edgebit")}
    done, path = set(), []

    def visit(name):
        assert name not in path, f"cycle: {' -> '.join([*path, name])}"
        if name in done or name not in graph:
            return
        path.append(name)
        for other in graph[name]:
            visit(other if other in graph else other.rpartition(".")[0])
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


@pytest.mark.parametrize("path", SOURCE, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short_enough_to_read(path):
    assert path.read_text().count("\n") <= 500, "beyond 500 lines a file is asking to be two"


@pytest.mark.parametrize("path", SOURCE, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_tests_do_not_sleep():
    """Except those marked slow, which drive the real thing."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path.parent.name == "cases" or path.parent.parent.name == "cases":
            continue  # processes of their own
        tree = ast.parse(path.read_text())
        module_slow = any(isinstance(n, ast.Assign) and "pytestmark" in ast.unparse(n) and "slow" in ast.unparse(n)
                          for n in tree.body)  # fmt: skip
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not module_slow:
                slow = any("slow" in ast.unparse(d) for d in node.decorator_list)
                text = ast.unparse(node)
                assert slow or not re.search(r"\bsleep\(", text), f"{path}:{node.lineno} {node.name} sleeps"


def test_options_are_read_from_their_table_only():
    """No .get("option", default) next to the table: the default would be said twice."""
    for path in SOURCE:
        assert not re.search(r"\bopt(ions)?\.get\(", path.read_text()), path
