"""Errors a user can act on. The command line prints them as one sentence, without a traceback."""


class EntraxError(Exception):
    """A mistake in what was asked for, or a fault of the environment; the message says what to do.

    `exit_code` is the command line's exit status.
    """

    exit_code = 2
