"""The seeds of episodes."""

from typing import Literal

import numpy as np

Stream = Literal["training", "evaluation", "selection", "check", "video"]
STREAMS: dict[Stream, int] = {"training": 0, "evaluation": 1, "selection": 2, "check": 3, "video": 4}


def episode_seed(run_seed: int, env_index: int, episode: int, stream: Stream) -> int:
    """Return the seed of an episode, in [0, 2³¹).

    Different streams have different seeds except by chance.
    """
    sequence = np.random.SeedSequence((run_seed, STREAMS[stream], env_index, episode))
    return int(sequence.generate_state(1)[0] >> 1)
