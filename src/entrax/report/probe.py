"""`python -m entrax.report.probe`: render one picture of an environment.

The environment is given as JSON on standard input.

Rendering is tried in a process of its own because a broken OpenGL may end the process.
"""

import json
import sys

from entrax.environments.source import EnvSource


def main() -> None:
    """Render once; on failure print the error and exit with status 1."""
    try:
        env = EnvSource.from_process(json.load(sys.stdin)).make(render_mode="rgb_array")
        env.reset(seed=0)
        env.render()
    except Exception as error:
        sys.stderr.write(f"\n{type(error).__name__}: {error}".replace("\n\n", "\n"))
        sys.exit(1)


if __name__ == "__main__":
    main()
