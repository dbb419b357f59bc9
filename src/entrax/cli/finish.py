"""What follows training: an evaluation, the figure, the film and the report, and where they are."""

from entrax.training.trained import Run


def finish(run: Run, *, episodes: int, video: bool) -> None:
    """Evaluate the trained policy and publish the run."""
    result = run.evaluate(episodes)
    print(f"\nreturn {result.mean:.1f} ± {result.std:.1f} over {episodes} new episodes of the policy's mode")
    run.directory.append_event({"kind": "evaluation", "checkpoint": run.checkpoint, **result.to_json()})
    show(run, video=video)
    print(f"run it again   entrax evaluate {run.path}")


def show(run: Run, *, video: bool) -> None:
    """Write figure, film and report and say where they and the policy are."""
    print(publish(run, video=video))
