"""`entrax stress`: measure how a policy's return falls as its environment changes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrax.cli.output import print_json
from entrax.cli.shared_options import EPISODE_SEED, NAMED_AGAIN, OUTPUT, SAMPLE, WORKERS, checkpoint
from entrax.cli.values import Integer
from entrax.errors import UsageError, show

if TYPE_CHECKING:
    from entrax.evaluation.stress import Interval, StressResult


@click.command("stress")
@click.argument("run")
@click.option("--families", help="Perturbations, separated by commas; by default all that apply.")
@click.option(
    "--levels", default="0,0.25,0.5,0.75,1", show_default=True, help="Severities, from 0 (none) to 1 (severe)."
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="KEY=VALUE",
    help="An environment argument to try unperturbed; repeatable.",
)
@click.option("--episodes", type=Integer(1), default=10, show_default=True, help="Episodes of each condition.")
@click.option("--figure", type=click.Path(dir_okay=False, resolve_path=True), help="Draw the curves into this PNG.")
@SAMPLE
@checkpoint()
@EPISODE_SEED
@click.option("--envs", type=Integer(1), help="Environments at once; by default up to 32.")
@WORKERS
@NAMED_AGAIN
@OUTPUT
def command(run: str, **given: Any) -> None:
    """Measure the return of RUN's policy under perturbation.

    Perturbations are pushes, other masses, slopes, delayed actions, lost sensor readings and more.

    docs/robustness.md says what each family does at severity 1. Variants are played without perturbation.
    """
    from entrax.environments.source import parse_env_args
    from entrax.evaluation.stress import stress_test
    from entrax.policies.controller import act_in_episodes
    from entrax.training.run import load

    levels, sample, families, figure = (given[name] for name in ("levels", "sample", "families", "figure"))
    severities, env_args = _severities(levels), parse_env_args(given["env_args"])
    loaded = load(run, given["checkpoint"], agent=given["agent"], env=given["env"], env_args=env_args)
    seed = loaded.config["seed"] if given["seed"] is None else given["seed"]
    source = loaded.source()
    result = stress_test(
        act_in_episodes(loaded.controller, sample=sample, seed=seed),
        source,
        seed=seed,
        policy="sampled" if sample else "mode",
        families=None if families is None else families.split(","),
        levels=severities,
        variants={text: parse_env_args([text]) for text in given["variants"]},
        episodes=given["episodes"],
        envs=given["envs"],
        workers=given["workers"],
        step_timeout=loaded.step_timeout(source, given["workers"]),
        progress=_show_progress if sys.stderr.isatty() else None,
    )
    record = result.to_json() | {"checkpoint": given["checkpoint"], "run": run}
    print_json(record) if given["as_json"] else show(table(result))
    if figure is not None:
        _draw(record, loaded.config, Path(figure))
        show(f"figure  {figure}", err=given["as_json"])


def _draw(record: dict[str, Any], config: dict[str, Any], figure: Path) -> None:
    from entrax.report.stress_figure import stress_figure

    title = f"{config['environment']['id']}, {config['agent']}: return under perturbation"
    stress_figure({config["agent"]: record}, figure, title)


def table(result: "StressResult") -> str:
    """Return the result as text, with the skipped families and the reasons."""
    actions = "sampled actions" if result.policy == "sampled" else "the policy's mode"
    width = max(map(len, ["unperturbed", *result.families, *result.variants])) + 2
    levels = [f"{level:g}" for level in result.levels[1:]]
    lines = [
        f"Mean return of {result.episodes} episodes of {actions}, ± half of its 95 % interval; area 1: no loss",
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


def _severities(levels: str) -> list[float]:
    try:
        return [float(level) for level in levels.split(",")]
    except ValueError as error:
        raise UsageError(f"--levels must be numbers separated by commas, such as 0,0.5,1, got {levels!r}.") from error


def _show_progress(done: int, total: int) -> None:
    print(f"\r{done}/{total} episodes", end="\n" if done == total else "", file=sys.stderr, flush=True)
