"""What the tests of tail share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tail_rig import Rig


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Starts tails that read from the head, and closes them."""
    rigs: list[Rig] = []

    def make(*args: Any, **options: Any) -> Rig:
        rigs.append(Rig(tmp_path, *args, **{"read_from_head": True, **options}))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()
        assert not rig.ctx.losses
