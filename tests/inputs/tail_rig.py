"""A tail input over real files, with the loop and the receipts in the test's hands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgebit.inputs.tail import Tail
from edgebit.options import Setting, read
from fakes import FakeContext

_DOTTED = re.compile(r"^(db|unicode|generic)_")


class Rig:
    """Starts a tail on `path` (relative to `root`) with the given options; `lines` are the values of "log" so far."""

    def __init__(self, root: Path, path: str = "*.log", *, tag: str = "t", parser: Any = None,
                 joined: dict[str, Any] | None = None, **options: Any) -> None:  # fmt: skip
        self.root, self.path, self.options, self.tag, self.parser = root, path, options, tag, parser
        self.joined = joined or {}  # options that refer to parsers, by attribute
        self.state = root / "state"
        self.state.mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        settings = [Setting("path", ",".join(str(self.root / p.strip()) for p in self.path.split(",")))]
        settings += [Setting(_DOTTED.sub(r"\1.", k), v) for k, v in self.options.items()]
        opt = read(Tail.OPTIONS, settings, "input tail")
        vars(opt).update(self.joined, parser=self.parser)
        self.ctx = FakeContext(tag=self.tag, state_dir=str(self.state))
        self.tail = Tail(opt, self.ctx)  # type: ignore[arg-type]  # the fake's emit takes what a context's does
        self.tail.open()

    def write(self, name: str, text: str | bytes) -> None:
        with (self.root / name).open("ab") as file:
            file.write(text.encode() if isinstance(text, str) else text)

    def run(self, seconds: float = 2.0) -> list[str]:
        """Let time pass and give all lines so far."""
        self.ctx.loop.run_for(seconds)
        return self.lines

    @property
    def lines(self) -> list[str]:
        return [record.get("log", "") for record in self.ctx.records]

    @property
    def log(self) -> str:
        return "".join(self.ctx.lines)

    def release(self, *which: int) -> None:
        """Let go of these receipts, or of all that are left."""
        for i in which or range(len(self.ctx.receipts)):
            if self.ctx.receipts[i] is not None:
                self.ctx.receipts[i].release()
                self.ctx.receipts[i] = None  # type: ignore[call-overload]  # released

    def kill(self) -> None:
        """What kill -9 leaves: descriptors closed by the kernel, the checkpoint as last written."""
        save, self.tail._keeper.save = self.tail._keeper.save, lambda last=False: None  # type: ignore[method-assign]
        self.tail.close()
        self.tail._keeper.save = save  # type: ignore[method-assign]
        self.ctx.loop.close()

    def close(self) -> None:
        self.tail.stop()
        self.tail.close()
        self.tail.close()
        self.ctx.loop.close()

    def restart(self) -> None:
        self.close()
        self.start()
