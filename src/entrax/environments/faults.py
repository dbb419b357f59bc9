"""What can go wrong in an environment while it is stepped."""

from entrax.errors import EntraxError


class EnvironmentFault(EntraxError):
    """Environment `index` misbehaved at `step` of the episode that was reset with `seed`; `cause` is a clause."""

    exit_code = 3

    def __init__(self, index: int, seed: int | None, step: int, cause: str):
        where = f"at step {step} of the episode with seed {seed}" if step else f"when reset with seed {seed}"
        super().__init__(f"Environment {index} {cause} {where}.")
        self.index, self.seed, self.step, self.cause = index, seed, step, cause
