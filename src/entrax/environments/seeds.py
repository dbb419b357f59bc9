"""Seeds of episodes."""

from typing import Literal

import numpy as np

STREAMS = {"training": 0, "evaluation": 1, "selection": 2, "check": 3, "video": 4}
Stream = Literal["training", "evaluation", "selection", "check", "video"]


def episode_seed(run_seed: int, env_index: int, episode: int, stream: Stream) -> int:
    """The seed in [0, 2³¹) of an environment's n-th episode; streams never share their seeds but by chance."""
    sequence = np.random.SeedSequence((run_seed, STREAMS[stream], env_index, episode))
    return int(sequence.generate_state(1)[0] >> 1)
