"""Run a verb; turn its errors into one sentence and an exit status."""

import errno
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType

import click

from entrax.cli.output import json_alone
from entrax.errors import EntraxError, closest, show, wording
from entrax.foreign import called
from entrax.training.interrupts import Interrupted

PRINTING = (errno.EPIPE, errno.EBADF, errno.EIO, errno.ENOSPC, errno.EAGAIN)
"""Errors of standard output, if an OSError names no file."""


def guarded(arguments: Sequence[str], start_time: float) -> None:
    """Run the verb that is the first argument and exit with its status.

    An error is printed as one sentence and the exit status is non-zero; with `--debug` it is raised.

    Args:
        arguments: the verb and its arguments.
        start_time: when the process started, in seconds of `time.perf_counter`.
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
    except click.BadParameter as error:
        fail(wrong_value(error), 2)
    except click.ClickException as error:
        fail(error.format_message(), 2)
    except click.Abort as error:  # click's exception for an interrupt
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
            fail(f"The operating system reports an error: {error.strerror or error}.", 5)
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
    """Print an error and exit with the status `code`."""
    show(f"entrax: {sentence}", err=True)
    sys.exit(code)


def unknown_flag(error: click.NoSuchOption) -> str:
    """Return the error for an unknown flag, with entrax's name for it if known."""
    name, parameters = error.option_name, [] if error.ctx is None else error.ctx.command.params
    flags = {p.name: max(p.opts, key=len) for p in parameters}
    if "env" in flags and not flags["env"].startswith("-"):
        flags["env"] = "the environment's id as the first argument"
    near = closest(name, (flag for parameter in parameters for flag in parameter.opts if flag.startswith("--")))
    return called(name.lstrip("-").replace("-", "_"), flags, shown=name) or f"There is no option {name!r}{near}"


def wrong_value(error: click.BadParameter) -> str:
    """Return the error for a value of an option: "--steps must be an integer, got 'ten'." for entrax's own types."""
    flag = None if error.param is None else max(error.param.opts, key=len)
    return f"{flag} {error.message}" if flag and error.message.startswith("must be ") else error.format_message()
