"""Every case, as it stands and converted to TOML. They mostly wait, so several run at a time."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from case_runner import Case, all_cases

pytestmark = pytest.mark.slow  # a process each
AT_A_TIME = 4 * (os.cpu_count() or 1)
RUNS = [
    (case, convert) for case in all_cases() for convert in (False, True) if not (convert and case.exit == "nonzero")
]


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    """All runs that are asked for, under way."""
    wanted = {item.callspec.id: item.callspec.params for item in request.session.items if item.module is request.module}
    base = tmp_path_factory.mktemp("cases")
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        futures: dict[str, Future[list[str]]] = {}
        for name, params in wanted.items():
            case: Case = params["case"]
            futures[name] = pool.submit(case.run, base / name, params["convert"])
        yield futures


@pytest.mark.parametrize(
    ("case", "convert"), RUNS, ids=[f"{case.name}{'-converted' if convert else ''}" for case, convert in RUNS]
)
def test_case(case, convert, results, request):
    problems = results[request.node.callspec.id].result()
    assert not problems, "\n".join(problems)
