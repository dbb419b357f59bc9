"""A training process that can be told to die: `python mortal.py RUN DIE_AT SETTINGS`, SETTINGS a JSON object.

It takes the run up if it is there. At the DIE_AT-th operation on files (never, if that is negative) it kills itself.
"""

import json
import os
import shutil
import signal
import sys


def die_at(count: int) -> None:
    """SIGKILL in place of the count-th operation that changes the disk, half of a write being done by then."""
    left = [count]

    def mortal(function):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] < 0:
                if function is write:  # a write that was under way
                    os.truncate(arguments[0], os.path.getsize(arguments[0]) // 2) if write(*arguments) else None
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    from entrax.runs import checkpoint, records

    def write(path, data):
        original(path, data)
        return path

    original = records.write_bytes
    for module in (checkpoint, records):
        module.write_bytes = mortal(write)
    for owner, name in ((os, "rename"), (os, "replace"), (os, "fsync"), (os, "unlink"), (os, "mkdir")):
        setattr(owner, name, mortal(getattr(owner, name)))
    shutil.rmtree = mortal(shutil.rmtree)


def main() -> None:
    run, count, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    import entrax

    if count >= 0:
        die_at(count)
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    entrax.train(run=run, resume=True, **settings)


if __name__ == "__main__":
    main()
