"""What follows training: evaluations, the figure, the film and the report, and where they are."""

from typing import Any

import jax
import numpy as np

from entrax.cli.display import successes
from entrax.cli.output import print_json
from entrax.errors import EntraxError, say, show
from entrax.evaluation.episodes import EvaluationResult
from entrax.policies.controller import act_in_episodes
from entrax.report.curve import learning_curve
from entrax.report.html import write_report
from entrax.report.video import record
from entrax.runs import checkpoint
from entrax.runs.directory import RunDirectory
from entrax.training.from_record import command_again
from entrax.training.run import Run, load


def finish(run: Run, *, episodes: int, video: bool, as_json: bool = False) -> None:
    """Evaluate the trained policy, publish the run, and say where everything is; nothing if that was done before."""
    if not published(run.directory):
        results = evaluated(run, episodes)
        for line in lines(results, command_again("evaluate", run.directory, "best")):
            show(line)
        publish(run, video=video)
        run.directory.append_event({"kind": "published", "step": run.config["training"]["steps"]})
        show(f"again   {command_again('evaluate', run.directory)}")
    if as_json:
        print_json({"run": str(run.path)} | recorded(run.directory) | places(run))


def published(directory: RunDirectory) -> bool:
    """Whether the end of the run as it is now was evaluated and reported, with nothing left to do."""
    kinds = [row["kind"] for row in directory.events() if row.get("kind") in ("published", "resumed")]
    return kinds[-1:] == ["published"]


def evaluated(run: Run, episodes: int) -> dict[str, EvaluationResult]:
    """The returns of the policy's mode, of sampled actions, and of the best checkpoint unless it is the last.

    All play the same episodes. What came out is appended to the run's events.
    """
    results = {"mode": run.evaluate(episodes), "sampled": run.evaluate(episodes, sample=True)}
    best = _best(run)
    if best is not None:
        results["best"] = best.evaluate(episodes)
    for name, result in results.items():
        event = {"kind": "evaluation", "step": run.config["training"]["steps"], "which": name}
        loaded = "best" if name == "best" else run.checkpoint
        run.directory.append_event(event | {"checkpoint": loaded} | result.to_json())
    return results


def _best(run: Run) -> Run | None:
    """The run with its best policy; None where there is none, or it is the last one."""
    steps = {name.partition("-")[0]: checkpoint.step_of(name) for name in checkpoint.available(run.directory)}
    if "best" not in steps or steps["best"] == steps.get("final"):
        return None
    try:
        return load(run.path, "best", agent=run.agent, env=run.env, env_args=run.env_args)
    except EntraxError as error:
        say(str(error))
        return None


def lines(results: dict[str, EvaluationResult], best: str) -> list[str]:
    """The evaluations, and what to do where they differ by more than chance; `best` evaluates the best checkpoint."""
    mode = results["mode"]
    what = {"sampled": "sampled actions", "best": "the best checkpoint's mode"}
    said = [f"\nreturn {_shown(mode)} over {len(mode.returns)} new episodes of the policy's mode{successes(mode)}"]
    said += [f"       {_shown(results[name])} of {text}{successes(results[name])}" for name, text in what.items()
             if name in results]  # fmt: skip
    if better(results["sampled"], mode):
        said.append("advice  Sampled actions do better: run.policy(obs, sample=True, key=key), or evaluate --sample.")
    elif better(mode, results["sampled"]):
        said.append("advice  The mode does better than sampled actions: act by it, as run.policy(obs) does.")
    if "best" in results and better(results["best"], mode):
        said.append(f"advice  The best checkpoint does better than the last: {best}")
    return said


def better(one: EvaluationResult, other: EvaluationResult) -> bool:
    """Whether the mean return of `one` is higher by more than two standard errors of the difference."""
    count = len(one.returns)
    difference = np.array(one.returns) - np.array(other.returns)  # of the same episodes
    return count > 1 and float(difference.mean()) > 2 * float(difference.std(ddof=1)) / count**0.5


def _shown(result: EvaluationResult) -> str:
    return f"{result.mean:.1f} ± {result.std:.1f}"


def recorded(directory: RunDirectory) -> dict[str, Any]:
    """The evaluations at the end of the run as it is now, as its events have them."""
    steps = directory.config["training"]["steps"]
    rows = [row for row in directory.events() if row.get("kind") == "evaluation" and row.get("step", steps) == steps]
    return {"evaluations": {row.get("which", row["policy"]): row for row in rows}}


def places(run: Run) -> dict[str, str | None]:
    """Where the figure, the film, the report and the policy are; None of what there is not."""
    directory = run.directory
    files = {"figure": directory.figure, "video": directory.video, "report": directory.report}
    policy = directory.checkpoints / checkpoint.resolve(directory, run.checkpoint)
    return {name: str(path) if path.is_file() else None for name, path in files.items()} | {"policy": str(policy)}


def publish(run: Run, *, video: bool) -> None:
    """Write figure, film and report from the run's directory, and say where they and the policy are."""
    directory, config = run.directory, run.config
    learning_curve(
        {config["agent"]: run.metrics()}, directory.figure, f"{config['environment']['id']}, {config['agent']}"
    )
    show(f"figure  {directory.figure}")
    why_not = film(run) if video else "it was not asked for"
    show(f"video   {directory.video}" if why_not is None else f"video   none: {why_not}")
    show(f"report  {write_report(directory, no_video=why_not)}")
    show(f"policy  {directory.checkpoints / checkpoint.resolve(directory, run.checkpoint)}")


def film(run: Run) -> str | None:
    """Film the policy's mode; why there is no film, or None."""
    act = act_in_episodes(jax.device_get(run.controller), sample=False, seed=run.config["seed"])
    source, seed = run.source(), run.config["seed"]
    return record(source, act, run.directory.video, seed, step_timeout=run.step_timeout(source, None))
