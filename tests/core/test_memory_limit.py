"""service.memory_limit: who gets what of it."""

import pytest

from edgebit.errors import ConfigError
from edgebit.memory import DEFAULT, SMALLEST, WORK, Shares

MIB = 1 << 20


@pytest.mark.parametrize(("limit", "named", "bulk", "outputs", "total", "read_size"), [
    (0, [None, None], 1, [DEFAULT, DEFAULT], 17 * MIB, 65536),
    (0, [4 * MIB, None], 1, [4 * MIB, DEFAULT], 13 * MIB, 32768),
    (9 * MIB, [None, None], 1, [4 * MIB, 4 * MIB], 9 * MIB, 32768),
    (20 * MIB, [16 * MIB, None], 1, [16 * MIB, 3 * MIB], 20 * MIB, 24576),
    (2 * MIB, [None], 0, [MIB], 2 * MIB, 8192),
    (10 * MIB, [None], 3, [9 * MIB - 2 * 7 * 65536], 10 * MIB, 65536),
])  # fmt: skip
def test_outputs_share_what_the_work_and_named_memory_leave(limit, named, bulk, outputs, total, read_size):
    shares = Shares(limit, named, bulk)
    assert (shares.outputs, shares.limit, shares.read_size) == (outputs, total, read_size)
    assert shares.work + sum(outputs) <= shares.limit


@pytest.mark.parametrize(("limit", "named"), [
    (WORK + SMALLEST - 1, [None]), (WORK + 2 * SMALLEST - 1, [None, None]), (4 * MIB, [4 * MIB]), (5 * MIB, [4 * MIB, None]),
])  # fmt: skip
def test_too_little_is_an_error_that_says_how_much_is_needed(limit, named):
    with pytest.raises(ConfigError, match=r"edgebit\.toml:2: memory_limit: is too little.* set it to") as caught:
        Shares(limit, named, 1, "edgebit.toml:2")
    assert "lower the memory of outputs" in str(caught.value)


def test_check_shows_the_numbers_and_errors_have_their_place(tmp_path, capsys):
    from edgebit.cli import main

    def check(limit):
        path = tmp_path / "edgebit.toml"
        path.write_text(f"""[service]
memory_limit = "{limit}"
state_dir = "none"
[[input]]
plugin = "syslog"
[[output]]
plugin = "stdout"
alias = "a"
[[output]]
plugin = "stdout"
alias = "b"
[output.buffer]
memory = "2MiB"
""")
        return main(["check", "-c", str(path)])

    assert check("6MiB") == 0
    assert "memory limit 6 MiB: 1 MiB for the work, 3 MiB for a, 2 MiB for b" in capsys.readouterr().out
    assert check("3MiB") == 78
    assert "edgebit.toml:2: memory_limit: is too little: 1 MiB are" in capsys.readouterr().err
