"""A spec survives the configuration file."""

import json
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from entrax.environments.spaces import spec_of
from entrax.runs.records import to_json
from entrax.spec import spec_from_json


@pytest.mark.parametrize(
    "action",
    [
        spaces.Box(-2.0, 3.0, (2, 2), np.float32),
        spaces.Discrete(3, start=-1),
        spaces.MultiDiscrete([2, 4]),
    ],
)
def test_a_spec_is_the_same_after_json(action: spaces.Space) -> None:
    env = gymnasium.Env()
    env.action_space = action
    half = spaces.Box(np.array([-np.inf, 0.0], np.float32), np.array([1.0, np.inf], np.float32))
    env.observation_space = spaces.Dict({"arm": half, "kind": spaces.Discrete(2)})
    spec = spec_of(env)
    assert spec_from_json(json.loads(json.dumps(to_json(asdict(spec))))) == spec
