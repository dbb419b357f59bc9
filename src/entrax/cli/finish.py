"""The end of a run: evaluate the policy and write figure, film and report."""

import jax
import numpy as np

from entrax.cli.output import print_json
from entrax.errors import EntraxError, say, show
from entrax.evaluation.episodes import EvaluationResult
from entrax.policies.controller import act_in_episodes
from entrax.report.curve import learning_curve
from entrax.report.html import write_report
from entrax.report.results import final_evaluations, success_text
from entrax.report.video import record
from entrax.runs import checkpoints
from entrax.runs.directory import RunDirectory
from entrax.training.from_record import command_again
from entrax.training.run import Run, load


def finish(run: Run, *, episodes: int, video: bool, as_json: bool = False) -> None:
    """Evaluate the policy and write its report, unless that was done before."""
    if not published(run.directory):
        results = evaluated(run, episodes)
        for line in lines(results, command_again("evaluate", run.directory, "best")):
            show(line)
        publish(run, video=video)
        run.directory.append_event({"kind": "published", "step": run.config["training"]["steps"]})
        show(f"again   {command_again('evaluate', run.directory)}")
    if as_json:
        print_json({"run": str(run.path), "evaluations": final_evaluations(run.directory)} | places(run))


def published(directory: RunDirectory) -> bool:
    """Return whether the report was written since the run was last resumed."""
    kinds = [row["kind"] for row in directory.events() if row.get("kind") in ("published", "resumed")]
    return kinds[-1:] == ["published"]


def evaluated(run: Run, episodes: int) -> dict[str, EvaluationResult]:
    """Evaluate the policy's mode, sampled actions, and the best checkpoint.

    The best checkpoint is evaluated only if it is not the last.

    All play the same episodes. The results are appended to the run's events.
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
    """Return the run with its best policy; None without one, or if it is the last."""
    steps = {name.partition("-")[0]: checkpoints.step_of(name) for name in checkpoints.available(run.directory)}
    if "best" not in steps or steps["best"] == steps.get("final"):
        return None
    try:
        return load(run.path, "best", agent=run.agent, env=run.env, env_args=run.env_args)
    except EntraxError as error:
        say(str(error))
        return None


def lines(results: dict[str, EvaluationResult], best: str) -> list[str]:
    """Return the evaluations as text, with advice if they differ by more than chance.

    Args:
        results: the evaluations by name.
        best: the command that evaluates the best checkpoint.
    """
    mode = results["mode"]
    texts = {"sampled": "sampled actions", "best": "the best checkpoint's mode"}
    printed = [f"\nreturn {_text(mode)} over {len(mode.returns)} new episodes of the policy's mode{_success(mode)}"]
    printed += [
        f"       {_text(results[name])} of {text}{_success(results[name])}"
        for name, text in texts.items()
        if name in results
    ]
    if better(results["sampled"], mode):
        printed.append(
            "advice  Sampled actions do better: run.policy(obs, sample=True, key=key), or evaluate --sample."
        )
    elif better(mode, results["sampled"]):
        printed.append("advice  The mode does better than sampled actions: use it, as run.policy(obs) does.")
    if "best" in results and better(results["best"], mode):
        printed.append(f"advice  The best checkpoint does better than the last: {best}")
    return printed


def better(one: EvaluationResult, other: EvaluationResult) -> bool:
    """Return whether the mean return of `one` is higher by over two standard errors."""
    count = len(one.returns)
    difference = np.array(one.returns) - np.array(other.returns)  # of the same episodes
    return count > 1 and float(difference.mean()) > 2 * float(difference.std(ddof=1)) / count**0.5


def _text(result: EvaluationResult) -> str:
    return f"{result.mean:.1f} ± {result.std:.1f}"


def _success(result: EvaluationResult) -> str:
    return success_text(result.success_rate)


def places(run: Run) -> dict[str, str | None]:
    """Return the paths of figure, film, report and policy; None for a missing file."""
    directory = run.directory
    files = {"figure": directory.figure, "video": directory.video, "report": directory.report}
    policy = directory.checkpoints / checkpoints.resolve(directory, run.checkpoint)
    return {name: str(path) if path.is_file() else None for name, path in files.items()} | {"policy": str(policy)}


def publish(run: Run, *, video: bool) -> None:
    """Write figure, film and report, and print where they and the policy are."""
    directory, config = run.directory, run.config
    learning_curve(
        {config["agent"]: run.metrics()}, directory.figure, f"{config['environment']['id']}, {config['agent']}"
    )
    show(f"figure  {directory.figure}")
    no_video = film(run) if video else "--no-video"
    show(f"video   {directory.video}" if no_video is None else f"video   none: {no_video}")
    show(f"report  {write_report(directory, no_video=no_video)}")
    show(f"policy  {directory.checkpoints / checkpoints.resolve(directory, run.checkpoint)}")


def film(run: Run) -> str | None:
    """Film the policy's mode. Returns the reason if there is no film, else None."""
    act = act_in_episodes(jax.device_get(run.controller), sample=False, seed=run.config["seed"])
    source, seed = run.source(), run.config["seed"]
    return record(source, act, run.directory.video, seed, step_timeout=run.step_timeout(source, None))
