"""What the collector keeps of an episode."""

import numpy as np

from entrax.environments.pool import LocalPool
from entrax.environments.source import as_source
from entrax.replay import UniformReplay
from entrax.training.collector import Collector


def test_actions_are_kept_without_what_they_were_computed_with():
    """An episode may have no end: what a step leaves behind must be small."""
    drawn = np.zeros((1000, 2, 1), np.float32)
    with LocalPool(as_source("CartPole-v1", {}), 2) as pool:
        collector = Collector(pool, UniformReplay(pool.spec, 10, 2), seed=0)
        collector.start()
        collector.step(lambda obs: (drawn[0].astype(np.int32), drawn[0]))
    assert [len(actions) for actions in collector.actions] == [1, 1]
    assert not any(np.shares_memory(taken, drawn) for actions in collector.actions for taken in actions)
