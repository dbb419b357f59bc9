"""Experience replay in host memory with uniform sampling (Lin 1992; Mnih et al. 2015)."""

import jax
import numpy as np

from entrax.spec import Continuous, Spec, Transition


class UniformReplay:
    """A ring buffer of `capacity // envs` times of `envs` transitions each.

    Each field is one array [time, env, ...]. The system allocates its memory as it is written, up to the bytes of
    `capacity` transitions.
    With `carry`, that many entries of the policy's carry before each step are stored too.
    """

    def __init__(self, spec: Spec, capacity: int, envs: int, carry: int = 0):
        self.times = max(1, capacity // envs)
        self.envs = envs
        self.appended = 0
        """The number of times ever appended; the buffer holds the last `times` of them."""
        shape = (self.times, envs)
        self.rows = Transition(
            obs=np.empty((*shape, spec.obs_size), spec.obs_dtype),
            action=np.empty(
                (*shape, spec.action.size), np.float32 if isinstance(spec.action, Continuous) else np.int32
            ),
            reward=np.empty(shape, np.float32),
            next_obs=np.empty((*shape, spec.obs_size), spec.obs_dtype),
            terminated=np.empty(shape, np.bool_),
            truncated=np.empty(shape, np.bool_),
            carry=np.empty((*shape, carry), np.float32) if carry else None,
        )

    def __len__(self) -> int:
        return min(self.appended, self.times) * self.envs

    def append(self, step: Transition) -> None:
        """Store one step of every environment, fields of shape [env, ...]; zeros for a carry that is not given."""
        place, given = self.appended % self.times, step.fields()
        for name, rows in self.rows.fields().items():
            rows[place] = given[name] if name != "carry" else given.get(name, 0.0)
        self.appended += 1

    def cut(self, env: int) -> None:
        """Mark the last step of an environment as truncated: its episode was abandoned."""
        if self.appended:
            last = (self.appended - 1) % self.times, env
            self.rows.truncated[last] |= ~self.rows.terminated[last]

    def sample(self, rng: np.random.Generator, batches: int, batch_size: int) -> Transition:
        """Draw transitions uniformly: fields of shape [batches, batch_size, ...].

        Transitions are drawn with replacement.
        """
        if len(self) == 0:
            raise ValueError("the replay is empty")
        index = rng.integers(len(self), size=(batches, batch_size))
        return jax.tree.map(lambda rows: rows.reshape(-1, *rows.shape[2:])[index], self.rows)

    def sample_windows(
        self, rng: np.random.Generator, batches: int, batch_size: int, length: int, ends: bool = False
    ) -> Transition:
        """Draw windows of `length` consecutive steps of one environment, uniformly.

        Returns fields of shape [batches, batch_size, length, ...]; with `ends`, the observations have length 1, see
        `Sequences`; the carry is that of the first step, of length 1. Raises ValueError if fewer times are stored.
        """
        stored = min(self.appended, self.times)
        if length > stored:
            raise ValueError(f"only {stored} of {length} times are stored")
        drawn = rng.integers((stored - length + 1) * self.envs, size=(batches, batch_size, 1))
        start, env = np.divmod(drawn, self.envs)
        time = (self.appended - stored + start + np.arange(length)) % self.times
        times = Transition(*[time] * len(Transition._fields))._replace(carry=time[..., :1])
        if ends:
            over = self.rows.terminated[time, env] | self.rows.truncated[time, env]
            over[..., -1] = True
            last = np.take_along_axis(time, over.argmax(-1, keepdims=True), -1)
            times = times._replace(obs=time[..., :1], next_obs=last)
        return Transition(**{name: rows[getattr(times, name), env] for name, rows in self.rows.fields().items()})

    def packed(self, times: int) -> bytes:
        """Return the last `times` steps as bytes, the rows of a transition log."""
        rows = np.empty(times, self._packed_dtype)
        for name, values in self.last(times).fields().items():
            rows[name] = values
        return rows.tobytes()

    @property
    def packed_bytes(self) -> int:
        """The number of bytes of one packed step."""
        return self._packed_dtype.itemsize

    def unpack(self, packed: bytes) -> None:
        """Append the steps that `packed` returned."""
        for step in np.frombuffer(packed, self._packed_dtype):
            self.append(Transition(**{name: step[name] for name in self.rows.fields()}))

    @property
    def _packed_dtype(self) -> np.dtype:
        return np.dtype([(name, rows.dtype, rows.shape[1:]) for name, rows in self.rows.fields().items()])

    def last(self, times: int) -> Transition:
        """Return copies of the last `times` steps, oldest first, [times, env, ...].

        Raises ValueError if fewer are stored.
        """
        if times > min(self.appended, self.times):
            raise ValueError(f"only {min(self.appended, self.times)} of {times} times are stored")
        index = np.arange(self.appended - times, self.appended) % self.times
        return jax.tree.map(lambda rows: rows[index], self.rows)
