"""What follows training: an evaluation, the figure, the film and the report, and where they are."""

import jax

from entrax.agents.controller import act_in_episodes
from entrax.report.curve import learning_curve
from entrax.report.html import write_report
from entrax.report.video import record
from entrax.runs import checkpoint
from entrax.runs.directory import RunDirectory
from entrax.training.trained import Run


def finish(run: Run, *, episodes: int, video: bool) -> None:
    """Evaluate the trained policy, publish the run, and say where everything is."""
    result = run.evaluate(episodes)
    print(f"\nreturn {result.mean:.1f} ± {result.std:.1f} over {episodes} new episodes of the policy's mode")
    run.directory.append_event({"kind": "evaluation", "checkpoint": run.checkpoint, **result.to_json()})
    publish(run, video=video)
    run.directory.append_event({"kind": "published", "step": run.config["training"]["steps"]})
    print(f"again   entrax evaluate {run.path}")


def published(directory: RunDirectory) -> bool:
    """Whether the end of the run as it is now was evaluated and reported, with nothing left to do."""
    steps = directory.config["training"]["steps"]
    return any(row.get("kind") == "published" and row.get("step") == steps for row in directory.events())


def publish(run: Run, *, video: bool) -> None:
    """Write figure, film and report from the run's directory, and say where they and the policy are."""
    directory, config = run.directory, run.config
    learning_curve(
        {config["agent"]: run.metrics()}, directory.figure, f"{config['environment']['id']}, {config['agent']}"
    )
    print(f"figure  {directory.figure}")
    why_not = film(run) if video else "it was not asked for"
    print(f"video   {directory.video}" if why_not is None else f"video   none: {why_not}")
    print(f"report  {write_report(directory, no_video=why_not)}")
    print(f"policy  {directory.checkpoints / checkpoint.resolve(directory, run.checkpoint)}")


def film(run: Run) -> str | None:
    """Film the policy's mode; why there is no film, or None."""
    act = act_in_episodes(jax.device_get(run.controller), sample=False, seed=run.config["seed"])
    return record(run.source(), act, run.directory.video, run.config["seed"])
