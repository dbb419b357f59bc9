"""What every verb shares: errors as one sentence, and the names other libraries give to things."""

import errno
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType

import click

from entrax.cli.output import json_alone
from entrax.errors import EntraxError, show, wording
from entrax.foreign import called
from entrax.training.interrupts import Interrupted

PRINTING = (errno.EPIPE, errno.EBADF, errno.EIO, errno.ENOSPC, errno.EAGAIN)
"""What is wrong with standard output, when no file is named."""


def guarded(arguments: Sequence[str], start_time: float) -> None:
    """Run the verb that the arguments begin with; `start_time` is when the process did.

    A user's mistake becomes one sentence and a non-zero exit; `--debug` shows tracebacks.
    """
    debug = "--debug" in arguments
    if debug:
        sys.excepthook = _show_traceback
    token = wording.set(_with_flags)
    wants_json = "--json" in arguments and not {"-h", "--help"} & set(arguments)
    try:
        with json_alone() if wants_json else nullcontext():
            from entrax.cli.verbs import group

            group.main(list(arguments), prog_name="entrax", standalone_mode=False, obj=start_time)
        sys.stdout.flush()
    except click.NoSuchOption as error:
        fail(unknown_flag(error), 2)
    except click.ClickException as error:
        fail(error.format_message(), 2)
    except click.Abort as error:  # what click makes of an interrupt
        interrupt = error.__cause__
        fail(str(interrupt or "") or "Interrupted.", interrupt.exit_code if isinstance(interrupt, Interrupted) else 130)
    except EntraxError as error:
        if debug:
            raise
        fail(_with_flags(str(error)), error.exit_code)
    except KeyboardInterrupt:
        fail("Interrupted.", 130)
    except OSError as error:
        if debug:
            raise
        if error.filename is None and error.errno not in PRINTING:
            fail(f"The operating system refused what this needs: {error.strerror or error}.", 5)
        fail(f"{error.filename or 'Standard output'} cannot be read or written ({error.strerror or error}).", 5)
    except Exception as error:
        if debug:
            raise
        fail(f"{type(error).__name__}: {error} (an unexpected error; --debug shows where)", 1)
    finally:
        wording.reset(token)


def _with_flags(message: str) -> str:
    from entrax.cli.flags import with_flags

    return with_flags(message)


def _show_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    show("".join(traceback.format_exception(kind, error, trace)), err=True)


def fail(sentence: str, code: int) -> None:
    """Say why and leave."""
    show(f"entrax: {sentence}", err=True)
    sys.exit(code)


def unknown_flag(error: click.NoSuchOption) -> str:
    """The sentence about a flag that the verb lacks: what it is called here if another library has it, else click's."""
    name, parameters = error.option_name, [] if error.ctx is None else error.ctx.command.params
    flags = {p.name: max(p.opts, key=len) for p in parameters}
    if "env" in flags and not flags["env"].startswith("-"):
        flags["env"] = "the environment's id as the first argument"
    return called(name.lstrip("-").replace("-", "_"), flags, shown=name) or error.format_message()
