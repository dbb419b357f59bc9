"""`python -m entrax.report.probe`: draws one picture of an environment, whose source it reads as JSON, and exits.

A film is tried here first, in a process of its own, because a broken OpenGL may end the process that tries it.
"""

import json
import sys

from entrax.environments.source import EnvSource


def main() -> None:
    """Print why the environment does not render, if it does not, and say so by the exit status."""
    try:
        env = EnvSource.from_process(json.load(sys.stdin)).make(render_mode="rgb_array")
        env.reset(seed=0)
        env.render()
    except Exception as error:
        sys.stderr.write(f"\n{type(error).__name__}: {error}".replace("\n\n", "\n"))
        sys.exit(1)


if __name__ == "__main__":
    main()
