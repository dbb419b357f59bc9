"""Acting while learning goes on: the policy on a device of its own."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, PyTree

from entrax.policies.base import Policy
from entrax.policies.controller import Scaling, act, initial_carries, restarted, to_bounds
from entrax.runs.pytree import ROOT, nested, subtree, unflatten
from entrax.spec import Continuous, Discrete, MultiDiscrete, Progress, Transition
from entrax.training.compiled import CompiledFunction, Kind, taken_apart

Shape = tuple[str, tuple[int, ...]]
"""The dtype of an array, and its shape."""
IN_TURN = {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
"""For XLA: one operation after the other. Those of acting are too small to be worth a thread each."""


class Actor:
    """Draws actions from a policy that is handed over now and then; one compiled program serves every hand-over.

    The policy's carry [env, ...] goes on over hand-overs, and is part of a checkpoint.
    """

    def __init__(self, action: Continuous | Discrete | MultiDiscrete, device: jax.Device, envs: int):
        self.action, self.device, self.envs = action, device, envs
        self._kind: Kind | None = None
        self._restored: Mapping[str, np.ndarray] = {}
        self._carries: dict[int, PyTree] = {}
        """The carries before (t) and after (t + 1) the last step; t counts from the hand-over."""
        self._used: PyTree = ()
        self._shapes: tuple[Shape, ...] = ()
        self._arrays: list[Array] = []
        self._key: PRNGKeyArray | None = None
        self._act = jax.jit(self._program, compiler_options=IN_TURN)

    def pack(self, policy: Policy, scaling: Scaling, progress: Progress) -> dict[str, Array]:
        """Pack the policy into one vector per dtype, which transfers faster than many small arrays.

        The vectors are computed on the learner's device, after the updates that it was given before.
        """
        kind, arrays = taken_apart((policy, scaling, progress))
        packed: dict[str, Array] = _packed(arrays)
        if self._kind is None:
            self._kind = kind
            self._shapes = tuple((str(jax.dtypes.canonicalize_dtype(x.dtype)), x.shape) for x in arrays)
        assert kind == self._kind
        return packed

    def hand_over(self, packed: dict[str, Array], key: PRNGKeyArray, recent: Transition | None = None) -> None:
        """Act with the packed policy from now on; `key` is on the actor's device.

        With `recent`, the latest steps [time, env, ...], the carry is computed again from them with the new policy.
        """
        if self._kind is None:
            raise RuntimeError("pack comes first.")
        vectors = {dtype: np.asarray(vector) for dtype, vector in packed.items()}
        self._arrays, self._key = _unpacked(vectors, self._shapes, key)
        if recent is not None:
            self._carries = {0: _carry_after(*self._kind.with_arrays(self._arrays), recent)}
        elif self._carries:
            self._carries = {0: self._latest()}
        else:
            carry = initial_carries(self._kind.with_arrays(self._arrays)[0], self.envs)
            self._carries = {0: unflatten(carry, self._restored) if self._restored else carry}

    def __call__(
        self, obs: Num[np.ndarray, "env obs"], t: int, first: Bool[np.ndarray, " env"]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return actions [env, action] of step t since the hand-over, in [-1, 1] and in the environment's bounds.

        `first` marks where an episode begins. A step that is asked for again, after a fault, has the same carry.
        """
        carry = self._carries[t] if t in self._carries else self._latest()
        agent_action, action, self._used, after = self._act(self._arrays, self._key, obs, np.int32(t), carry, first)
        self._carries = {t: carry, t + 1: after}
        return np.asarray(agent_action), np.asarray(action)

    def carry_used(self) -> Float[np.ndarray, "env carry"]:
        """Return the carry that was last acted with, flat: the initial one where an episode began."""
        rows = [np.asarray(x, np.float32).reshape(self.envs, -1) for x in jax.tree.leaves(self._used)]
        return np.concatenate(rows, axis=1)

    def arrays(self) -> dict[str, Any]:
        """Return the carry by name, for `restore`. Empty for a memoryless policy."""
        return {"carry": self._latest() if self._carries else nested(self._restored)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Continue from what `arrays` gave, by paths."""
        whole = arrays.get("carry", arrays.get("noise"))  # the name that correlated noise had in older checkpoints
        self._carries, self._restored = {}, subtree("carry", arrays) if whole is None else {ROOT: whole}

    def _latest(self) -> PyTree:
        if not self._carries:
            raise RuntimeError("hand_over comes first.")
        return self._carries[max(self._carries)]

    def _program(
        self, arrays: list[Array], key: PRNGKeyArray, obs: Array, t: Array, carry: PyTree, first: Array
    ) -> tuple[Array, Array, PyTree, PyTree]:
        """Act, given plain arrays: flattening a module at every step would cost more than the network."""
        assert self._kind is not None
        policy, scaling, progress = self._kind.with_arrays(arrays)
        keys = jr.split(jr.fold_in(key, _on_this_thread(t)), len(obs))
        carry = restarted(policy, carry, first)
        agent_action, after = act(policy, carry, scaling(obs), progress, keys)
        return agent_action, to_bounds(self.action, agent_action), carry, after


@CompiledFunction
def _carry_after(policy: Policy, scaling: Scaling, progress: Progress, recent: Transition) -> PyTree:
    """Return the carry after greedy actions in the steps `recent`, from the initial one."""
    ended = recent.terminated | recent.truncated

    def step(before: tuple[PyTree, Any], now: tuple[Any, Any]) -> tuple[tuple[PyTree, Any], None]:
        (carry, first), (obs, ended) = before, now
        return (act(policy, restarted(policy, carry, first), obs, progress, None)[1], ended), None

    envs = ended.shape[1]
    start = initial_carries(policy, envs), np.ones(envs, bool)
    return jax.lax.scan(step, start, (scaling(recent.obs), ended))[0][0]


@jax.jit
def _packed(arrays: list[Any]) -> dict[str, Array]:
    dtypes = sorted({str(x.dtype) for x in arrays})
    return {dtype: jnp.concatenate([x.ravel() for x in arrays if str(x.dtype) == dtype]) for dtype in dtypes}


@partial(jax.jit, static_argnums=1)
def _unpacked(packed: dict[str, Any], shapes: tuple[Shape, ...], key: PRNGKeyArray) -> tuple[list[Array], PRNGKeyArray]:
    """Return the arrays that `_packed` was given, on the device of `key`, and the key."""
    used, arrays = dict.fromkeys(packed, 0), []
    for dtype, shape in shapes:
        size = math.prod(shape)
        arrays.append(packed[dtype][used[dtype] : used[dtype] + size].reshape(shape))
        used[dtype] += size
    return arrays, key


def _on_this_thread(t: Int[Array, ""]) -> Int[Array, ""]:
    """`t`, in a program that runs on the thread that calls it.

    XLA's CPU client hands programs to threads of its own, and while the cores are busy with learning, to be woken costs
    more than to act. Only programs that may call Python run at once, so here is a call, and it is never made.
    """
    shape = jax.ShapeDtypeStruct(t.shape, t.dtype)
    return jax.lax.cond(t < 0, lambda: jax.pure_callback(lambda t: t, shape, t), lambda: t)
