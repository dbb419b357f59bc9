"""Batches from several sources."""

import numpy as np
import pytest

from entrax.errors import EntraxError
from entrax.replay import MixedSource, Source, Uniform, UniformReplay
from entrax.spec import Continuous, Leaf, Spec, Transition

SPEC = Spec(
    observation=(Leaf("obs", (1,), "float32", 1, (-1.0,), (1.0,)),),
    action=Continuous(shape=(1,), dtype="float32", low=(-1.0,), high=(1.0,)),
)


def filled(rewards: list[float]) -> UniformReplay:
    replay = UniformReplay(SPEC, 100, 1)
    for reward in rewards:
        zero, no = np.zeros((1, 1), np.float32), np.zeros(1, bool)
        replay.append(Transition(zero, zero, np.array([reward], np.float32), zero, no, no))
    return replay


@pytest.mark.parametrize(("shares", "counts"), [((0.5, 0.5), (4, 3)), ((0.25, 0.75), (2, 5)), ((0.9, 0.1), (6, 1))])
def test_every_batch_has_each_source_in_its_share(shares, counts):
    mixed = MixedSource(list(zip([filled([1.0] * 3), filled([2.0] * 50)], shares, strict=True)))
    batch = Uniform(batch_size=7, capacity=100).draw(mixed, np.random.default_rng(0), 5)
    assert batch.obs.shape == (5, 7, 1)
    for row in batch.reward:
        assert ((row == 1.0).sum(), (row == 2.0).sum()) == counts


def test_the_draw_follows_from_the_generator():
    mixed = MixedSource([(filled(list(range(20))), 0.5), (filled(list(range(20, 40))), 0.5)])
    one, other, third = (mixed.sample(np.random.default_rng(s), 2, 8).reward for s in (1, 1, 2))
    assert (one == other).all()
    assert (one != third).any()
    assert isinstance(mixed, Source)
    assert len(mixed) == 40


def test_an_empty_source_leaves_its_share_to_the_others():
    mixed = MixedSource([(filled([]), 0.5), (filled([3.0]), 0.5)])
    assert (mixed.sample(np.random.default_rng(0), 1, 4).reward == 3.0).all()
    with pytest.raises(ValueError, match="empty"):
        MixedSource([(filled([]), 1.0)]).sample(np.random.default_rng(0), 1, 4)


@pytest.mark.parametrize("shares", [(0.5, 0.4), (1.5, -0.5), ()])
def test_shares_that_do_not_add_up_are_refused(shares):
    with pytest.raises(EntraxError, match="shares"):
        MixedSource([(filled([1.0]), share) for share in shares])
