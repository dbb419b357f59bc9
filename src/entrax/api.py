"""Training from Python: what `import entrax` offers, with heavy imports inside the functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gymnasium

    from entrax.runs.directory import RunDirectory
    from entrax.runs.metrics import Logger
    from entrax.spec import Transition
    from entrax.training.control import ControlRun
    from entrax.training.request import Hook
    from entrax.training.run import Run


def train(
    env: str | Callable[..., gymnasium.Env],
    agent: str | Any | None = None,
    *,
    steps: int | float | None = None,
    seed: int = 0,
    run: str | Path | None = None,
    preset: str = "paper",
    env_args: Mapping[str, Any] | None = None,
    prior: str | Path | None = None,
    data: str | Path | None = None,
    hook: Hook | None = None,
    loggers: Callable[[RunDirectory], Sequence[Logger]] = lambda run: (),
    start_time: float | None = None,
    resume: bool = False,
    **settings: Any,
) -> Run:
    """Train `agent` on `env` and return the finished run.

    Args:
        env: a Gymnasium id, `module:EnvId`, `module:Class`, `file.py:Class`, or a function or other object that makes
            the environment when called. What worker processes cannot import stays in this process.
        agent: a name that `entrax agents` lists, `module:name`, `file.py`, or a module or other object with the names
            of `entrax.agents.base.Agent`; or a pair (wrapper, inner). By default, chosen by preset and action space.
        steps: environment steps, over all parallel environments.
        seed: everything random follows from it.
        run: the run's directory, which must not exist yet; by default `runs/<env>_<agent>_<seed>_<n>`.
        preset: "paper", "fast" or "efficient"; settings given by name win over the preset's.
        env_args: keyword arguments of the environment.
        prior: the directory of a run whose policy is π₀ in place of the uniform one, for agents that take a prior
            (`entrax agents`): entropy becomes -KL(π ‖ π₀). It is only read, and not needed afterwards.
        data: the directory of a run, or the id of a Minari data set on this machine, for an agent with a replay. Learn
            only from these transitions. Steps are taken for evaluation only; `steps` times `updates_per_step` updates
            are made.
        hook: called with every metrics row; training stops early when it returns a true value.
        loggers: further places that rows are shown, such as TensorBoard.
        start_time: `time.perf_counter()` when the clock of training seconds starts; by default now.
        resume: resume `run` if it exists, and start it if not.
        **settings: fields of `entrax.training.options.TrainingOptions` and of the agent's `Config`.

    Raises EntraxError, in one sentence, for an unknown name or setting, a value out of range, an environment that
    misbehaves, or a directory in use.
    """
    from entrax.training.request import Request
    from entrax.training.train import train as run_request

    return run_request(
        Request(
            env=env,
            agent=agent,
            settings=_settings(settings, steps),
            preset=preset,
            seed=seed,
            run=run,
            env_args=env_args,
            prior=prior,
            data=data,
            resume=resume,
            session=_session(hook, loggers, start_time),
        )
    )


def resume(
    path: str | Path,
    *,
    steps: int | float | None = None,
    device: str | None = None,
    agent: str | Any | None = None,
    env: str | Callable[..., gymnasium.Env] | None = None,
    env_args: Mapping[str, Any] | None = None,
    hook: Hook | None = None,
    loggers: Callable[[RunDirectory], Sequence[Logger]] = lambda run: (),
    start_time: float | None = None,
) -> Run:
    """Resume the run in directory `path` where it was last saved; it ends as if it had never been interrupted.

    Args:
        path: the run's directory.
        steps: train for more steps than at first; schedules keep their horizon.
        device: learn on another device.
        agent: the agent again, needed when it is a third party's: nothing that a file names is imported.
        env: the environment again, needed when it is not one of entrax or Gymnasium.
        env_args: arguments of the environment again, needed for those that name a file, a module or an environment.
        hook: called with every metrics row; training stops early when it returns a true value.
        loggers: further places that rows are shown.
        start_time: `time.perf_counter()` when the clock of training seconds starts; by default now.

    Raises EntraxError when there is no such run, another process is training it, or nothing whole is left of it.
    """
    from entrax.training.request import ResumeRequest
    from entrax.training.resume import resume as run_request

    return run_request(
        ResumeRequest(
            path=path,
            steps=steps,
            device=device,
            agent=agent,
            env=env,
            env_args=env_args,
            session=_session(hook, loggers, start_time),
        )
    )


def finetune(
    path: str | Path,
    env: str | Callable[..., gymnasium.Env] | None = None,
    *,
    steps: int | float,
    checkpoint: str = "latest",
    temperature_start: str = "keep",
    keep_replay: bool = False,
    keep_optimiser: bool = False,
    prior: str | Path | None = None,
    seed: int | None = None,
    run: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    agent: str | Any | None = None,
    hook: Hook | None = None,
    loggers: Callable[[RunDirectory], Sequence[Logger]] = lambda run: (),
    start_time: float | None = None,
    resume: bool = False,
    **settings: Any,
) -> Run:
    """Fine-tune what the run in directory `path` has learned for `env`, as a new run, and return that.

    Policy, critics, targets and normaliser are carried over and the optimiser is initialised; the new run's config.json
    records each under `ancestor`. The first `learning_starts` steps are acted by the source's policy, not at random: by
    default a tenth of the steps, at most 1,000, and none if the replay is kept.

    Args:
        path: the source run's directory, which is only read, and not needed afterwards.
        env: the environment to fine-tune for; by default the source's. Its observations and actions must be the same.
        steps: environment steps of the new run.
        checkpoint: "latest", "best" (a policy and a normaliser only), "final", or a checkpoint's name.
        temperature_start: "keep" the temperature and exploration of the checkpoint (a learned temperature continues
            from there); "restart" as a new run would; "anneal" in a straight line, over the run, to the `temperature`
            given. A `temperature` given with "keep" holds from the first step.
        keep_replay: start with the source's transitions, with the rewards they had then.
        keep_optimiser: carry over the optimiser's state as well.
        prior: the directory of a run (it may be the source) whose policy is π₀, as for `train`; by default the
            source's own prior, if any.
        seed: by default the source's.
        run: the new run's directory, which must not exist yet; by default `runs/<env>_<agent>_<seed>_<n>`.
        env_args: keyword arguments of the environment.
        agent: the agent again, needed when it is a third party's: nothing that a file names is imported.
        hook, loggers, start_time: as for `train`.
        resume: resume the new run if it exists, and start it if not.
        **settings: fields of `TrainingOptions` and of the agent's `Config`; by default the source's,
            except those that depend on the number of steps.

    Raises EntraxError when there is no such run or checkpoint, and, with every difference, for other spaces.
    """
    from entrax.training.request import Request, SourceRequest
    from entrax.training.train import train as run_request

    return run_request(
        Request(
            env=env,
            agent=agent,
            settings=_settings(settings, steps),
            seed=seed,
            run=run,
            env_args=env_args,
            prior=prior,
            source=SourceRequest(
                path=path,
                checkpoint=checkpoint,
                temperature_start=temperature_start,
                keep_replay=keep_replay,
                keep_optimiser=keep_optimiser,
            ),
            resume=resume,
            session=_session(hook, loggers, start_time),
        )
    )


def control(
    env: str | Callable[..., gymnasium.Env],
    planner: str = "mppi",
    *,
    episodes: int = 1,
    seed: int = 0,
    run: str | Path | None = None,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    simulator: str = "auto",
    reward: Callable[..., Any] | str | None = None,
    sample: bool = False,
    resume: bool = False,
    hook: Callable[[dict[str, Any]], Any] = lambda row: None,
    **settings: Any,
) -> ControlRun:
    """Play episodes of a planner in the environment's own simulator, without training, and return the run.

    Args:
        env: as for `train`; its state must be restorable, and its actions continuous.
        planner: "mppi" (path integral control), "cem" (cross-entropy method) or "shooting" (random shooting).
        episodes: their number.
        seed: everything random follows from it. The episodes are those of an evaluation with this seed.
        run: the run's directory, which must not exist yet; by default `runs/<env>_<planner>_<seed>_<n>`.
        env_args: keyword arguments of the environment.
        max_episode_steps: steps after which an episode ends, in addition to the environment's own limit.
        simulator: "model" for the environment's MuJoCo model, "copies" for copies of the environment, or "auto" for the
            first that applies; see `entrax.environments.simulator_of`.
        reward: the batched reward of a MuJoCo environment of your own, or its name as module:function.
        sample: draw among the plans by their weights instead of taking the best action.
        resume: continue `run` if it exists, and start it if not; only missing episodes are played.
        hook: called with the row of every finished episode.
        **settings: of the planner, such as `samples`, `horizon` and `temperature`; see `entrax.planning.settings`.

    Raises EntraxError, in one sentence, for an unknown name or setting, an environment that cannot be simulated, or a
    reward that differs from the environment's.
    """
    from entrax.training.control import ControlRequest
    from entrax.training.control import control as run_request

    return run_request(
        ControlRequest(
            env=env,
            planner=planner,
            settings=settings,
            episodes=episodes,
            seed=seed,
            run=run,
            env_args=env_args,
            max_episode_steps=max_episode_steps,
            simulator=simulator,
            reward=reward,
            sample=sample,
            resume=resume,
            hook=hook,
        )
    )


def _settings(settings: dict[str, Any], steps: int | float | None) -> dict[str, Any]:
    return settings if steps is None else settings | {"steps": steps}


def _session(hook: Hook | None, loggers: Callable[[RunDirectory], Sequence[Logger]], start_time: float | None) -> Any:
    from entrax.training.request import Session

    started = {} if start_time is None else {"start_time": start_time}
    return Session(hook=hook, loggers=loggers, **started)


def transitions(source: str | Path, checkpoint: str = "latest") -> Transition:
    """Return the replay of a run, or a Minari data set, as NumPy arrays [transition, ...].

    One environment (of a run) or episode (of a data set) after another, in the order of time; where an environment's
    transitions end within an episode, the last one is marked as truncated. Observations are flat, and not normalised.
    Actions are the agent's: float32 [transition, action] in [-1, 1], or int32 from 0, [transition, action] for a
    MultiDiscrete and [transition] for a Discrete space.

    Args:
        source: the run's directory, or the id of a Minari data set on this machine (`pip install entrax[minari]`).
        checkpoint: "latest", "final", or a checkpoint's name: the replay at that time: the last rollout of an on-policy
            agent, the last `replay_size` steps of others.

    Raises EntraxError when there is no such run, checkpoint or data set.
    """
    from entrax.spec import Discrete
    from entrax.training.dataset import read_data

    data = read_data(source, checkpoint)
    one = isinstance(data.spec.action, Discrete)
    return data.steps._replace(action=data.steps.action[:, 0]) if one else data.steps
