"""Acting while learning goes on: the policy on a device of its own."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Int, Num, PRNGKeyArray

from entrax.errors import UsageError
from entrax.policies.base import CorrelatedPolicy, HistoryPolicy
from entrax.policies.controller import Scaling, nothing_yet, remember, to_bounds
from entrax.spec import Continuous, Discrete, MultiDiscrete, Progress, Transition
from entrax.training.compiled import Compiled, Kind, taken_apart

IN_TURN = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
"""For XLA: one operation after the other. Those of acting are too small to be worth a thread each."""


class Actor:
    """Draws actions from a policy that is handed over now and then; one compiled program serves every hand-over.

    What a policy over histories remembers is recomputed with its own parameters at every hand-over. Correlated
    noise goes on, and is part of a checkpoint.
    """

    def __init__(self, action: Continuous | Discrete | MultiDiscrete, device: jax.Device):
        self.action, self.device = action, device
        self._kind: Kind | None = None
        self._remembers = self._correlated = False
        self._memories: dict[int, Any] = {}
        """Before the step that was last acted on, and after it: what is remembered of the episode, or the noise."""
        self._act = jax.jit(self._program, compiler_options=IN_TURN)

    def pack(self, policy: Any, scaling: Scaling, progress: Progress) -> dict[str, Array]:
        """What is to be handed over, as one vector for each dtype: it importable faster than many small arrays.

        The vectors come into being on the learner's device, after the updates that it was given before.
        """
        kind, arrays = taken_apart((policy, scaling, progress))
        packed: dict[str, Array] = _packed(arrays)
        if self._kind is None:
            self._kind, self._remembers = kind, isinstance(policy, HistoryPolicy)
            self._correlated = isinstance(policy, CorrelatedPolicy)
            shapes = [(str(jax.dtypes.canonicalize_dtype(x.dtype)), x.shape) for x in arrays]
            self._unpack = jax.jit(lambda packed, key: (_unpacked(packed, shapes), key))
        assert kind == self._kind
        return packed

    def hand_over(self, packed: dict[str, Array], key: PRNGKeyArray, recent: Transition | None = None) -> None:
        """Act with what `pack` gave from now on, once it is there; `key` is on the actor's device.

        `recent` holds the steps [time, env, ...] up to now that a policy over histories looks back on.
        """
        assert self._kind is not None
        vectors = {dtype: np.asarray(vector) for dtype, vector in packed.items()}
        self._arrays, self._key = self._unpack(vectors, key)
        latest = self._latest()
        self._memories = {} if latest is None else {0: latest}
        if self._remembers:
            if recent is None:
                raise UsageError("A policy over histories looks back on rollouts: its agent's data must be a Rollout.")
            self._memories[0] = _looked_back(*self._kind.with_arrays(self._arrays), recent)

    def __call__(
        self, obs: Num[np.ndarray, "env obs"], t: int, first: Bool[np.ndarray, " env"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions [env, action] for the t-th step since the hand-over, in [-1, 1] and in the environment's bounds.

        `first` tells where an episode begins. Asked again for the same step, after a fault, it remembers it once.
        """
        if self._correlated and not self._memories:
            self._memories = {t: np.zeros((len(obs), self.action.size), np.float32)}
        if not self._memories:
            unit, action, _ = self._act(self._arrays, self._key, obs, np.int32(t), None, None)
        else:
            unit, action, after = self._act(self._arrays, self._key, obs, np.int32(t), self._memories[t], first)
            self._memories = {t: self._memories[t], t + 1: after}
        return np.asarray(unit), np.asarray(action)

    def arrays(self) -> dict[str, np.ndarray]:
        """The correlated noise by name; `restore` takes it back. Empty where there is none."""
        noise = None if self._remembers else self._latest()
        return {} if noise is None else {"noise": np.asarray(noise)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `arrays` gave."""
        self._memories = {0: arrays["noise"]} if "noise" in arrays else {}

    def _latest(self) -> Any:
        return self._memories[max(self._memories)] if self._memories else None

    def _program(
        self, arrays: list[Array], key: PRNGKeyArray, obs: Array, t: Array, memory: Any, first: Any
    ) -> tuple[Array, Array, Any]:
        """What acts, of plain arrays: taking a module apart at every step would cost more than the network."""
        assert self._kind is not None
        policy, scaling, progress = self._kind.with_arrays(arrays)
        seen = scaling(obs)
        key = jr.fold_in(key, _on_this_thread(t))
        if self._correlated:
            fresh, rho = jr.normal(key, memory.shape, memory.dtype), policy.correlation
            memory = jnp.where(first[:, None], fresh, rho * memory + jnp.sqrt(1.0 - rho**2) * fresh)
            unit = jax.vmap(policy.explore)(seen, memory)
            return unit, to_bounds(self.action, unit), memory
        if memory is not None:
            seen = memory = remember(policy, memory, seen, first)
        unit, _ = jax.vmap(policy.sample, (0, None, 0))(seen, progress, jr.split(key, len(obs)))
        return unit, to_bounds(self.action, unit), memory


@Compiled
def _looked_back(policy: Any, scaling: Scaling, progress: Progress, recent: Transition) -> Any:
    """What is remembered of episodes that began in the steps `recent`, or before."""
    ended = recent.terminated | recent.truncated

    def step(carry: tuple[Any, Any], now: tuple[Any, Any]) -> tuple[tuple[Any, Any], None]:
        memory, first = carry
        obs, ended = now
        return (remember(policy, memory, obs, first), ended), None

    start = nothing_yet(policy, ended.shape[1]), np.ones(ended.shape[1], bool)
    return jax.lax.scan(step, start, (scaling(recent.obs), ended))[0][0]


@jax.jit
def _packed(arrays: list[Any]) -> dict[str, Array]:
    dtypes = sorted({str(x.dtype) for x in arrays})
    return {dtype: jnp.concatenate([x.ravel() for x in arrays if str(x.dtype) == dtype]) for dtype in dtypes}


def _unpacked(packed: dict[str, Array], shapes: list[tuple[str, tuple[int, ...]]]) -> list[Array]:
    """The arrays of these dtypes and shapes that `_packed` was given."""
    used, arrays = dict.fromkeys(packed, 0), []
    for dtype, shape in shapes:
        size = math.prod(shape)
        arrays.append(packed[dtype][used[dtype] : used[dtype] + size].reshape(shape))
        used[dtype] += size
    return arrays


def _on_this_thread(t: Int[Array, ""]) -> Int[Array, ""]:
    """`t`, in a program that runs on the thread that calls it.

    XLA's CPU client hands programs to threads of its own, and while the cores are busy with learning, to be woken costs
    more than to act. Only programs that may call Python run at once, so here is a call, and it is never made.
    """
    shape = jax.ShapeDtypeStruct(t.shape, t.dtype)
    return jax.lax.cond(t < 0, lambda: jax.pure_callback(lambda t: t, shape, t), lambda: t)
