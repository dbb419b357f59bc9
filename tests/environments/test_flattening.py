"""Any space that entrax takes is flattened as Gymnasium flattens it."""

import numpy as np
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from entrax.environments.spaces import flattener

SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
LEAVES = st.one_of(
    st.builds(spaces.Discrete, st.integers(1, 6), start=st.integers(-3, 3)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 4), min_size=1, max_size=3)),
    st.builds(spaces.MultiBinary, st.integers(1, 5)),
    st.builds(lambda shape, dtype: spaces.Box(-3, 3, shape, dtype), SHAPES, st.sampled_from([np.float32, np.float64])),
    st.builds(lambda n: spaces.Box(-9, 9, (n,), np.int64), st.integers(1, 4)),
)
SPACES = st.recursive(
    LEAVES,
    lambda parts: st.one_of(
        st.builds(spaces.Tuple, st.lists(parts, min_size=1, max_size=3)),
        st.builds(spaces.Dict, st.dictionaries(st.text("abc", min_size=1), parts, min_size=1, max_size=3)),
    ),
    max_leaves=5,
)


@given(SPACES, st.integers(0, 1000))
def test_any_space_is_flattened_as_gymnasium_does(space, seed):
    space.seed(seed)
    obs = space.sample()
    flat = flattener(space)(obs)
    np.testing.assert_array_equal(flat, spaces.utils.flatten(space, obs).astype(np.float32))
    assert flat.dtype == np.float32
