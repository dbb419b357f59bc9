"""What every verb shares: errors as one sentence, and the names other libraries give to things."""

import sys
from collections.abc import Callable, Sequence

import click

from entrax.errors import EntraxError
from entrax.training.interrupts import Interrupted

FOREIGN = {
    "--gamma": "--discount",
    "--tau": "--target-rate",
    "--ent-coef": "--temperature",
    "--alpha": "--temperature",
    "--total-timesteps": "--steps",
    "--n-timesteps": "--steps",
    "--n-envs": "--envs",
    "--num-envs": "--envs",
    "--buffer-size": "--replay-size",
    "--lr": "--learning-rate",
    "--policy-lr": "--learning-rate",
    "--q-lr": "--learning-rate",
    "--net-arch": "--hidden",
    "--train-freq": "--updates-per-step",
    "--gradient-steps": "--updates-per-step",
    "--utd-ratio": "--updates-per-step",
    "--env": "the environment's id as the first argument",
    "--env-id": "the environment's id as the first argument",
    "--algo": "--agent",
    "--env-kwargs": "--env-arg",
    "--normalize": "--normalise-obs",
    "--normalize-obs": "--normalise-obs",
    "--track": "--wandb",
    "--eval-freq": "--eval-every",
}
"""Flags of other libraries, and entrax's."""


def guarded(verb: Callable[[], None], arguments: Sequence[str]) -> None:
    """Run a verb. A user's mistake becomes one sentence and a non-zero exit; `--debug` shows tracebacks."""
    debug = "--debug" in arguments
    try:
        verb()
    except click.NoSuchOption as error:
        name = error.option_name
        if name in FOREIGN:
            fail(f"{name} is called {FOREIGN[name]} in entrax.", 2)
        fail(error.format_message(), 2)
    except click.ClickException as error:
        fail(error.format_message(), 2)
    except click.Abort as error:  # what click makes of an interrupt
        interrupt = error.__cause__
        fail(str(interrupt or "") or "Interrupted.", interrupt.exit_code if isinstance(interrupt, Interrupted) else 130)
    except EntraxError as error:
        if debug:
            raise
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("Interrupted.", 130)
    except Exception as error:
        if debug:
            raise
        fail(f"{type(error).__name__}: {error} (an unexpected error; --debug shows where)", 1)


def fail(sentence: str, code: int) -> None:
    """Say why and leave."""
    print(f"entrax: {sentence}", file=sys.stderr)
    sys.exit(code)
