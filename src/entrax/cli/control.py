"""`entrax control`: plan in an environment's own simulator, without training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from entrax.cli.flags import argument_of, field_options, given_settings, with_flags
from entrax.cli.output import print_json
from entrax.cli.shared_options import OUTPUT, env_arg
from entrax.cli.values import Integer, complete, complete_environments
from entrax.environments.simulator import KINDS
from entrax.errors import show
from entrax.planning.settings import PLANNERS

if TYPE_CHECKING:
    from entrax.training.control import ControlRun


@click.command("control")
@click.argument("env", shell_complete=complete_environments)
@click.option(
    "--planner",
    default="mppi",
    show_default=True,
    shell_complete=complete(PLANNERS),
    help="mppi (path integral control), cem (cross-entropy method) or shooting (random shooting).",
)
@click.option("--episodes", type=Integer(1), default=1, show_default=True, help="Episodes to play.")
@click.option("--seed", type=Integer(), default=0, show_default=True, help="Seed of everything random.")
@click.option("--run", help="The run's directory; by default runs/<env>_<planner>_<seed>_<n>.")
@click.option("--resume", is_flag=True, help="Continue the run if it exists; otherwise start it.")
@click.option("--sample", is_flag=True, help="Draw among the plans by their weights instead of taking the best action.")
@click.option(
    "--simulator",
    default="auto",
    show_default=True,
    shell_complete=complete(KINDS),
    help="model (the environment's MuJoCo model), copies (of the environment), or auto for the first that applies.",
)
@click.option("--reward", metavar="MODULE:FUNCTION", help="Batched reward of a MuJoCo environment of your own.")
@click.option("--max-episode-steps", type=Integer(1), help="Steps after which an episode ends.")
@env_arg()
@click.option("--film/--no-film", default=True, help="Film the first episodes.")
@OUTPUT
def command(**given: Any) -> None:
    """Control ENV by a planner, without training.

    Every decision simulates plans from the environment's present state and takes the first action of the best.

    ENV is a Gymnasium id, an environment of entrax, or one of your own. docs/planning.md says which can be simulated.
    """
    from entrax.environments.source import parse_env_args
    from entrax.training.control import ControlRequest, control

    own = ("planner", "episodes", "seed", "run", "resume", "sample", "simulator", "reward", "max_episode_steps")
    request = ControlRequest(
        env=given["env"],
        env_args=parse_env_args(given["env_args"]),
        settings=given_settings(given, command.params),
        hook=lambda row: show(line(row, given["episodes"])),
        **{name: given[name] for name in own},
    )
    publish(control(request), film=given["film"], as_json=given["as_json"])


def build(arguments: Sequence[str]) -> click.Command:
    """Return the command with the flags of the planner that the arguments name."""
    planner = argument_of(arguments, "--planner") or "mppi"
    flags = field_options(PLANNERS[planner]) if planner in PLANNERS else []
    return click.Command("control", params=command.params + flags, callback=command.callback, help=command.help)


def line(row: dict[str, Any], episodes: int) -> str:
    """Return the result of one episode as a line."""
    decision = row["time"]["decision"]["median_ms"]
    return (
        f"episode {row['episodes']}/{episodes}  return {row['return']:.1f}  {row['length']} steps  {decision:.1f} ms a "
        "decision"
    )


def publish(run: "ControlRun", *, film: bool, as_json: bool) -> None:
    """Print the results, film the first episodes, and write the report."""
    from entrax.report.control_report import control_lines, write_control_report

    summary = run.summary()
    for name, text in control_lines(summary).items():
        show(f"{name}  {with_flags(text)}")
    no_video = film_of(run) if film else "--no-film"
    show(f"video   {run.directory.video}" if no_video is None else f"video   none: {no_video}")
    report = write_control_report(run.directory, summary, no_video)
    show(f"report  {report}")
    if as_json:
        video = str(run.directory.video) if run.directory.video.is_file() else None
        print_json({"run": str(run.path), "report": str(report), "video": video} | summary)


def film_of(run: "ControlRun") -> str | None:
    """Film the recorded actions. Returns the reason if there is no film, else None."""
    from entrax.report.video import record

    actions = [episode.actions for episode in run.episodes]

    def act(obs: np.ndarray, episodes: np.ndarray, t: np.ndarray) -> np.ndarray:
        chosen = actions[int(episodes[0])]
        return chosen[[min(int(t[0]), len(chosen) - 1)]]

    return record(run.source, act, run.directory.video, run.config["seed"], seeds=run.seeds)
