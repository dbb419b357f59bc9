"""What can go wrong in an environment while it is made, reset, stepped or closed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from entrax.errors import EntraxError


class EnvironmentFault(EntraxError):
    """Environment `index` misbehaved at `step` of the episode with `seed`; `cause` is a clause.

    `step` is 0 when it failed in the reset, and `seed` None when it failed before the first reset.
    """

    exit_code = 3

    def __init__(self, index: int, seed: int | None, step: int, cause: str):
        where = f"at step {step} of the episode with seed {seed}" if step else f"when reset with seed {seed}"
        where = "while it was made" if seed is None else where
        super().__init__(f"Environment {index} {cause} {where}.")
        self.index, self.seed, self.step, self.cause = index, seed, step, cause


@contextmanager
def exits_caught() -> Iterator[None]:
    """Inside, `os._exit` raises SystemExit as `sys.exit` does: an environment must not end the process of its run.

    A process that is forked inside can still end itself.
    """
    process, leave = os.getpid(), os._exit

    def refuse(status: int) -> None:
        if os.getpid() != process:
            leave(status)
        raise SystemExit(status)

    os._exit = refuse  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = leave


def exit_cause(error: SystemExit) -> str:
    """The clause about an environment that called `sys.exit` or `os._exit`."""
    return f"tried to end the process (exit status {error.code or 0})"
