"""Split replays: what is held out stays held out, and resamples are bootstraps."""

import numpy as np
import pytest

from entrax.errors import UsageError
from entrax.replay import Split, UniformReplay
from entrax.replay.split import BLOCK, resampled
from tests.agents import reference64 as ref


def numbered(times, envs, capacity):
    """A replay whose reward is the number of the transition, counted from the first of the run."""
    replay = UniformReplay(ref.SPEC, capacity, envs)
    for rows in replay.rows.fields().values():
        rows[:] = 0
    number = np.arange(times * envs, dtype=np.float32).reshape(times, envs)
    start = max(0, times - replay.times)
    for t in range(start, times):
        replay.rows.reward[t % replay.times] = number[t]
    replay.appended = times
    return replay


def drawn(split, replay, seed=0, updates=400):
    """The numbers of training [update, member, row] and held-out [update, row] transitions."""
    rewards = split.draw(replay, np.random.default_rng(seed), updates).reward.astype(int)
    rows = split.members * split.batch_size
    return rewards[:, :rows].reshape(updates, split.members, split.batch_size), rewards[:, rows:]


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize(("times", "envs", "capacity"), [(10, 1, 100), (37, 3, 1000), (500, 2, 150)])
def test_every_tenth_transition_is_held_out_and_all_stored_ones_are_drawn(times, envs, capacity, bootstrap):
    split = Split(batch_size=8, members=3, held_out=4, capacity=capacity, bootstrap=bootstrap)
    training, held_out = drawn(split, numbered(times, envs, capacity))
    stored = np.arange(times * envs)[-capacity // envs * envs :]
    assert set(held_out.ravel()) == set(stored[stored % 10 == 9])
    learned = set(stored[stored % 10 != 9])
    assert set(training.ravel()) <= learned
    if not bootstrap:
        assert set(training.ravel()) == learned


def test_a_transition_counts_like_in_a_bootstrap():
    """In a block of B the count of each is binomial: mean 1, variance 1 - 1/B, absent with (1 - 1/B)^B."""
    places, members = np.arange(200 * BLOCK), np.arange(20)[:, None]
    chosen = resampled(np.broadcast_to(places, (20, len(places))), members, 0, len(places))
    assert np.array_equal(chosen // BLOCK, np.broadcast_to(places // BLOCK, chosen.shape))
    counts = np.stack([np.bincount(row, minlength=len(places)) for row in chosen])
    error = 5 / np.sqrt(counts.size)
    assert counts.mean() == 1.0
    assert abs(counts.var() - (1 - 1 / BLOCK)) < 2 * error
    assert abs((counts == 0).mean() - (1 - 1 / BLOCK) ** BLOCK) < error
    between = np.asarray(np.corrcoef(counts)) - np.eye(20)
    assert np.abs(between).max() < 5 / np.sqrt(len(places))


def test_a_resample_does_not_change_as_transitions_are_added():
    places, member = np.arange(3 * BLOCK), np.array(1)
    assert np.array_equal(resampled(places, member, 0, 3 * BLOCK), resampled(places, member, 0, 9 * BLOCK))
    assert set(resampled(np.arange(5, 40), member, 5, 40)) <= set(range(5, 40))


def test_parts_are_those_that_were_drawn():
    split = Split(batch_size=2, members=3, held_out=4, capacity=100)
    batch = split.draw(numbered(50, 1, 100), np.random.default_rng(0), 1)
    one = batch._replace(**{name: rows[0] for name, rows in batch.fields().items()})
    training, held_out = split.parts(one)
    assert np.array_equal(training.reward, one.reward[:6].reshape(3, 2))
    assert training.obs.shape == (3, 2, ref.OBS)
    assert np.array_equal(held_out.reward, one.reward[6:])


def test_too_few_transitions_are_reported():
    split = Split(batch_size=2, members=3, held_out=4, capacity=12)
    assert split.steps_needed(4) == 12
    with pytest.raises(UsageError, match="`learning_starts` must be at least 10"):
        split.fixed_options(100, 1, 9)
    with pytest.raises(UsageError, match="`replay_size` must be at least 14"):
        split.fixed_options(100, 7, 20)
    with pytest.raises(UsageError, match=r"`members`.*at least 1"):
        Split(batch_size=2, members=0, held_out=4, capacity=12)
    with pytest.raises(UsageError, match="`replay_size` must be at least 10"):
        Split(batch_size=2, members=3, held_out=4, capacity=9)
