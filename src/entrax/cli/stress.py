"""`entrax stress`: how a policy's return falls as the world changes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrax.cli.output import print_json
from entrax.cli.values import AgentName, Whole, agent_again
from entrax.errors import UsageError, show

if TYPE_CHECKING:
    from entrax.evaluation.stress import Interval, StressResult


@click.command("stress")
@click.argument("run")
@click.option("--families", help="Which perturbations, with commas between; by default all that apply.")
@click.option("--levels", default="0,0.25,0.5,0.75,1", show_default=True, help="Severities, from 0 to 1 (severe).")
@click.option("--variant", "variants", multiple=True, metavar="KEY=VALUE", help="Another environment argument to try.")
@click.option("--episodes", type=Whole(1), default=10, show_default=True, help="In each condition.")
@click.option("--figure", type=click.Path(dir_okay=False, resolve_path=True), help="Draw the curves into this PNG.")
@click.option("--sample", is_flag=True, help="Draw actions from the policy instead of taking its mode.")
@click.option("--checkpoint", default="latest", show_default=True, help="latest, best, final or a checkpoint's name.")
@click.option("--seed", type=Whole(), help="Seed of the episodes; by default the run's.")
@click.option("--envs", type=Whole(1), help="Environments at once; by default up to 32.")
@click.option("--workers", type=Whole(0), help="Worker processes; 0 plays in this one.")
@agent_again
@click.option("--env", help="The environment again, when it is not one of entrax or Gymnasium.")
@click.option("--env-arg", multiple=True, metavar="KEY=VALUE", help="An argument of the environment again; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def command(
    run: str,
    families: str | None,
    levels: str,
    variants: tuple[str, ...],
    episodes: int,
    figure: str | None,
    sample: bool,
    checkpoint: str,
    seed: int | None,
    envs: int | None,
    workers: int | None,
    agent: AgentName | None,
    env: str | None,
    env_arg: tuple[str, ...],
    as_json: bool,
    debug: bool,
) -> None:
    """The return of RUN's policy under pushes, other masses, slopes, late actions, lost readings and more.

    docs/robustness.md says what each family does at severity 1. A variant is played beside them, unperturbed.
    """
    from entrax.environments.source import parse_env_args
    from entrax.evaluation.stress import stress_test
    from entrax.policies.controller import act_in_episodes
    from entrax.training.run import load

    severities = _numbers(levels)
    loaded = load(run, checkpoint, agent=agent, env=env, env_args=parse_env_args(env_arg))
    seed = loaded.config["seed"] if seed is None else seed
    source = loaded.source()
    result = stress_test(
        act_in_episodes(loaded.controller, sample=sample, seed=seed),
        source,
        seed=seed,
        policy="sampled" if sample else "mode",
        families=None if families is None else families.split(","),
        levels=severities,
        variants={text: parse_env_args([text]) for text in variants},
        episodes=episodes,
        envs=envs,
        workers=workers,
        step_timeout=loaded.step_timeout(source, workers),
        progress=_show_progress if sys.stderr.isatty() else None,
    )
    record = result.to_json() | {"checkpoint": checkpoint, "run": run}
    print_json(record) if as_json else show(table(result))
    if figure is not None:
        _draw(record, loaded.config, Path(figure))
        show(f"figure  {figure}", err=as_json)


def _draw(record: dict[str, Any], config: dict[str, Any], figure: Path) -> None:
    from entrax.report.stress_figure import stress_figure

    named = f"{config['environment']['id']}, {config['agent']}"
    stress_figure({config["agent"]: record}, figure, f"{named}: return as the world changes")


def table(result: "StressResult") -> str:
    """The result as text: a line for each family and variant, and what was skipped and why."""
    how = "sampled actions" if result.policy == "sampled" else "the policy's mode"
    width = max(map(len, ["unperturbed", *result.families, *result.variants])) + 2
    levels = [f"{level:g}" for level in result.levels[1:]]
    lines = [
        f"Mean return of {result.episodes} episodes of {how}, ± half of its 95 % interval; area 1: nothing is lost",
        "",
        f"{'severity':{width}}{'area':>6}" + "".join(f"{level:>16}" for level in levels),
        f"{'unperturbed':{width}}{'':6}{_number(result.unperturbed):>16}",
    ]
    for name, outcomes in result.families.items():
        area = result.areas[name]
        shown = "–" if area is None else f"{area.mean:.2f}"
        lines.append(f"{name:{width}}{shown:>6}" + "".join(f"{_number(outcome):>16}" for outcome in outcomes[1:]))
    lines += [f"{name:{width}}{'':6}{_number(outcome):>16}" for name, outcome in result.variants.items()]
    reasons: dict[str, list[str]] = {}
    for name, reason in result.skipped.items():
        reasons.setdefault(reason, []).append(name)
    lines += ["", *(f"skipped {', '.join(names)}: {reason}" for reason, names in reasons.items())] if reasons else []
    return "\n".join(lines)


def _number(outcome: "Interval") -> str:
    half = (outcome.high - outcome.low) / 2.0
    digits = 0 if abs(outcome.mean) >= 1000 else 1 if abs(outcome.mean) >= 10 else 2
    return f"{outcome.mean:.{digits}f} ± {half:.{digits}f}"


def _numbers(levels: str) -> list[float]:

    try:
        return [float(level) for level in levels.split(",")]
    except ValueError as error:
        raise UsageError(f"--levels takes numbers with commas between, such as 0,0.5,1, not {levels!r}.") from error


def _show_progress(done: int, total: int) -> None:
    print(f"\r{done}/{total} episodes", end="\n" if done == total else "", file=sys.stderr, flush=True)
