"""Plans on the environment's own MuJoCo model, with a batched reward (see `mujoco_rewards`).

If the reward follows from positions and velocities, `mujoco.rollout` computes the plans on its own threads. If it reads
other arrays of mjData, such as contact forces, threads of this process step one mjData each, since rollouts return
states only.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Int, Num

from entrax.environments.mujoco_rewards import Formula, Moment, Results
from entrax.environments.perturb_mujoco import mujoco_body
from entrax.environments.spaces import rescale, spec_of
from entrax.errors import UsageError
from entrax.spec import Continuous


class ModelSimulator:
    """Rewards of plans from the present state of a MuJoCo environment.

    Args:
        env: the environment, with its wrappers. It is not changed.
        formula: of its reward and termination.
        threads: that compute plans.
    """

    kind = "model"

    def __init__(self, env: gymnasium.Env, formula: Formula, threads: int):
        import mujoco
        from mujoco.rollout import Rollout

        self.env, self.formula, self.seconds = env, formula, 0.0
        action = spec_of(env).action
        assert isinstance(action, Continuous)
        self._action, self._bare = action, mujoco_body(env)
        self._data = [mujoco.MjData(self._bare.model) for _ in range(threads)]
        self._rollout = None if formula.reads else Rollout(nthread=threads if threads > 1 else 0)
        self._pool = ThreadPoolExecutor(threads) if formula.reads else None
        self._buffer = np.zeros((0, 0, 0))

    def __call__(
        self, states: Any, actions: Num[np.ndarray, "plan time action"], seeds: Num[np.ndarray, " plan"]
    ) -> Results:
        """Return rewards and terminations of plans of the agent's actions, in [-1, 1]."""
        *_, results = self.moments(actions)
        return results

    def moments(self, actions: Num[np.ndarray, "plan time action"]) -> tuple[Moment, Moment, Results]:
        """Return the moments before and after each step, and rewards and terminations."""
        given = rescale(self._action, actions).astype(self._action.dtype)
        start = time.perf_counter()
        present, after = self._rolled(given) if self._rollout is not None else self._stepped(given)
        self.seconds += time.perf_counter() - start
        before = _shifted(present, after)
        reward, terminated = (np.asarray(each) for each in self.formula.function(before, after, given, self._bare))
        if not reward.shape == terminated.shape == given.shape[:2]:
            shapes = f"{reward.shape} and {terminated.shape}"
            raise UsageError(f"`reward` must return two arrays of shape {given.shape[:2]}, got {shapes}.")
        return before, after, (reward.astype(float), terminated.astype(bool))

    def close(self) -> None:
        """End the threads."""
        for each in (self._rollout, self._pool):
            if isinstance(each, ThreadPoolExecutor):
                each.shutdown()
            elif each is not None:
                each.close()

    def _rolled(self, given: np.ndarray) -> tuple[Moment, Moment]:
        import mujoco

        model, data, skip = self._bare.model, self._bare.data, self._bare.frame_skip
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        size = mujoco.mj_stateSize(model, full)
        present = np.empty(size)
        mujoco.mj_getState(model, data, present, full)
        shape = (len(given), given.shape[1] * skip, size)
        if self._buffer.shape != shape:
            self._buffer = np.empty(shape)
        assert self._rollout is not None
        self._rollout.rollout(
            model,
            self._data,
            present[None],
            np.repeat(given.astype(float), skip, axis=1),
            initial_warmstart=data.qacc_warmstart[None].copy(),
            state=self._buffer,
        )
        q, v = slice(1, 1 + model.nq), slice(1 + model.nq, 1 + model.nq + model.nv)  # after the time
        each = self._buffer[:, skip - 1 :: skip]
        return Moment(present[None, None, q], present[None, None, v]), Moment(each[..., q], each[..., v])

    def _stepped(self, given: np.ndarray) -> tuple[Moment, Moment]:
        names, source = ("qpos", "qvel", *self.formula.reads), self._bare.data
        now = {name: np.array(field_of(source, name))[None, None] for name in names}
        out = {name: np.empty((*given.shape[:2], *array.shape[2:])) for name, array in now.items()}
        assert self._pool is not None
        shares = np.array_split(np.arange(len(given)), len(self._data))
        list(self._pool.map(lambda data, plans: self._step(data, plans, given, out), self._data, shares))
        return _moment(now), _moment(out)

    def _step(self, data: Any, plans: Int[np.ndarray, " plan"], given: np.ndarray, out: dict[str, np.ndarray]) -> None:
        """Compute some of the plans in one mjData, as Gymnasium's environments do."""
        import mujoco

        model, source, skip = self._bare.model, self._bare.data, self._bare.frame_skip
        live = [(field_of(data, name), array) for name, array in out.items()]
        for plan in plans:
            mujoco.mj_copyData(data, model, source)
            for t, control in enumerate(given[plan]):
                data.ctrl[:] = control
                mujoco.mj_step(model, data, nstep=skip)
                mujoco.mj_rnePostConstraint(model, data)
                for array, kept in live:
                    kept[plan, t] = array


def field_of(data: Any, name: str) -> np.ndarray:
    """Return an array of mjData by its name."""
    return getattr(data, name)


def _moment(arrays: dict[str, np.ndarray]) -> Moment:
    rest = dict(arrays)
    return Moment(rest.pop("qpos"), rest.pop("qvel"), rest)


def _shifted(present: Moment, after: Moment) -> Moment:
    """Return the moments before each step: the present one, then those after the steps before."""

    def one(first: np.ndarray, rest: np.ndarray) -> np.ndarray:
        return np.concatenate([np.broadcast_to(first, (len(rest), *first.shape[1:])), rest[:, :-1]], axis=1)

    read = {name: one(present.read[name], array) for name, array in after.read.items()}
    return Moment(one(present.qpos, after.qpos), one(present.qvel, after.qvel), read)
