"""Observed action masks: the wrapper, the spec, and random actions among those that are allowed."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from entrax.environments.action_mask import ActionMask
from entrax.environments.spaces import flattener, random_allowed_actions, spec_of
from entrax.errors import UsageError
from entrax.spec import Discrete, MultiDiscrete


class Doors(gymnasium.Env):
    """Some doors are shut, others by turns; `given` tells how the mask is given, if at all."""

    def __init__(self, given="info", space=None, render_mode=None):
        self.action_space = spaces.MultiDiscrete([3, 2]) if space is None else space
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.given, self.t = given, 0
        if given == "method":
            self.action_masks = lambda: np.array([1, 0, 1, 0, 1], bool)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), self._info()

    def step(self, action):
        self.t += 1
        ended = self.t == 3
        return np.ones(1, np.float32), 0.0, ended, False, {} if ended else self._info()

    def _info(self):
        masks = {"info": np.array([1, 0, 1, 0, 1]), "parts": (np.array([1, 0, 1]), np.array([0, 1]))}
        return {"action_mask": masks[self.given]} if self.given in masks else {}


@pytest.mark.parametrize("given", ["info", "parts", "method"])
def test_the_mask_is_observed_however_it_is_given(given):
    env = ActionMask(Doors(given))
    obs, _ = env.reset()
    assert env.observation_space.contains(obs)
    spec = spec_of(env)
    assert spec.mask is not None
    flat = flattener(env.observation_space)(obs)
    np.testing.assert_array_equal(flat[slice(*spec.mask)], [1, 0, 1, 0, 1])
    for _ in range(3):
        obs, _, terminated, _, _ = env.step([0, 1])
    assert terminated
    assert obs["action_mask"].all() == (given != "method")  # no action follows, so any is allowed


def test_taxi_observes_its_own_mask():
    env = gymnasium.make("entrax/ActionMask-v0", env="Taxi-v4")
    obs, info = env.reset(seed=0)
    np.testing.assert_array_equal(obs["action_mask"], info["action_mask"])
    spec = spec_of(env)
    assert spec.mask == (0, 6)
    assert spec.action == Discrete(6)


def test_masks_that_are_missing_or_do_not_fit_are_named():
    with pytest.raises(UsageError, match="action_masks"):
        ActionMask(Doors("none")).reset()
    with pytest.raises(UsageError, match="5 entries for 4"):
        ActionMask(Doors(space=spaces.Discrete(4))).reset()
    with pytest.raises(UsageError, match="discrete"):
        ActionMask(gymnasium.make("Pendulum-v1"))

    class Wrong(Doors):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Dict(action_mask=spaces.MultiBinary(4))

    with pytest.raises(UsageError, match="4 entries"):
        spec_of(Wrong())


def test_random_actions_are_uniform_among_the_allowed_ones():
    spec = spec_of(ActionMask(Doors()))
    assert spec.mask is not None
    assert spec.action == MultiDiscrete((3, 2))
    obs = np.zeros((30_000, spec.obs_size), np.float32)
    obs[:, slice(*spec.mask)] = [1, 0, 1, 0, 0]  # nothing is allowed to the second entry, which is free then
    drawn = random_allowed_actions(spec, np.random.default_rng(0), obs)
    counts = np.array([[np.sum(drawn[:, entry] == option) for option in range(3)] for entry in range(2)])
    assert counts[0, 1] == counts[1, 2] == 0
    assert np.abs(counts[:, [0, 0]] - 15_000).max() < 5 * np.sqrt(30_000 / 4)
