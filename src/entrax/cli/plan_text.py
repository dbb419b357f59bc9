"""An answer of the planner as text: a headline, and a map with arrows and values, or a table of states."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from entrax.problems import FiniteMDP, Layout

NEARLY = 0.99  # of the largest probability: actions that are as likely as that share a cell
MOST_ROWS = 60
TABLE_ROWS = 16
SHADES = ((0x2B, 0x1A, 0x4F), (0x2C, 0x52, 0x7F), (0x1F, 0x8A, 0x83), (0x6C, 0xBF, 0x62), (0xF6, 0xDF, 0x4D))
"""Background colours from the lowest value to the highest."""


def headline(answer: dict[str, Any]) -> str:
    """What was asked, in a line."""
    asked = f"temperature {answer['temperature']:g}, discount {answer['discount']:g}"
    if answer["horizon"] is not None:
        asked += f", {answer['horizon']} decisions"
    convention = "entropy" if answer["convention"] == "entropy" else "KL-to-prior"
    return f"{asked}, {convention} convention"


def show(title: str, mdp: "FiniteMDP", layout: "Layout | None", answer: dict[str, Any]) -> None:
    """Print the answer; colours are for terminals."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=240)
    console.print(f"{title}: {mdp.states:,} states, {mdp.actions} actions; {headline(answer)}", soft_wrap=True)
    if "average_reward" in answer:
        console.print(f"average reward {answer['average_reward']:.10g}; values are relative to state 0", soft_wrap=True)
    console.print(f"start value {answer['start_value']:.10g} {certificate(answer)}\n", soft_wrap=True)
    show_values(console, layout, answer["value"], answer["policy"], np.asarray(mdp.terminal))
    if "posterior" in answer:
        show_posterior(console, layout, answer["posterior"], np.asarray(mdp.terminal))


def certificate(answer: dict[str, Any]) -> str:
    """How good the answer is, and how it was found."""
    found = f"{answer['method'] or 'backward recursion'}, {answer['iterations']} iterations"
    if not np.isfinite(answer["error_bound"]):
        return f"(no certified error bound; {found})"
    ended = "" if answer["converged"] else "; not converged"
    return f"(error at most {answer['error_bound']:.1e}, {answer['error_norm']}; {found}{ended})"


def show_posterior(console: Console, layout: "Layout | None", posterior: dict[str, Any], terminal: np.ndarray) -> None:
    """The evidence and its bound, and how optimistic the exact posterior is where."""
    evidence, bound = posterior["log_evidence"], posterior["evidence_lower_bound"]
    console.print(f"\nlog evidence {evidence:.10g}, its variational bound {bound:.10g}", soft_wrap=True)
    console.print("policy of the exact posterior at the first decision, and its optimism:\n", soft_wrap=True)
    show_values(console, layout, posterior["optimism"], posterior["policy"], terminal, "optimism")


def show_values(
    console: Console,
    layout: "Layout | None",
    value: np.ndarray,
    policy: np.ndarray,
    terminal: np.ndarray,
    name: str = "value",
) -> None:
    """A map where there is one and it fits, else a table."""
    if layout is None:
        console.print(state_table(value, policy, terminal, name))
        return
    height, width = layout.state.shape
    with_values = width * (cell_width(value) + 5) <= console.width - 2
    if height > MOST_ROWS or width * 3 > console.width - 2:
        console.print(f"The map of {height} × {width} cells is too large to print: --figure draws it.")
        return
    for line in map_lines(layout, value, policy, terminal, with_values=with_values):
        console.print(line, soft_wrap=True)


def map_lines(
    layout: "Layout", value: np.ndarray, policy: np.ndarray, terminal: np.ndarray, *, with_values: bool
) -> list[Text]:
    """One text for each row of the map: in each cell the likeliest moves, and the value if there is room."""
    live = value[~terminal]
    low, high = (float(live.min()), float(live.max())) if live.size else (0.0, 0.0)
    places, digits = cell_width(value), decimals(value)
    whole = places + 5 if with_values else 3
    lines = []
    for number, row in enumerate(layout.state):
        line = Text("  ")
        for column, state in enumerate(row):
            letter = layout.rows[number][column]
            if state < 0:
                text, style = "█" * whole, Style(color="grey37")
            elif terminal[state] or letter in "GX":
                text, style = f"{letter:^{whole}}", Style(bold=True)
            else:
                text = f"{moves(policy[state], layout.moves):>2} "
                text = f" {text}{value[state]:{places}.{digits}f} " if with_values else text
                style = shade((value[state] - low) / (high - low) if high > low else 0.5, bold=letter == "S")
            line.append(text, style)
        lines.append(line)
    return lines


def moves(policy: np.ndarray, arrows: Sequence[str]) -> str:
    """The arrows of the likeliest actions; • where three or more are as likely."""
    best = "".join(dict.fromkeys(arrows[a] for a in map(int, np.flatnonzero(policy >= NEARLY * policy.max()))))
    return best if len(best) <= 2 else "•"


def decimals(value: np.ndarray) -> int:
    """Digits after the point, so that about three figures of the largest value show."""
    largest = float(np.abs(value).max(initial=0))
    return 2 if largest == 0 else int(np.clip(2 - np.floor(np.log10(largest)), 0, 8))


def cell_width(value: np.ndarray) -> int:
    """Characters that every value fits."""
    return max(len(f"{number:.{decimals(value)}f}") for number in (value.min(), value.max(), 0.0))


def shade(part: float, *, bold: bool) -> Style:
    """Background from `SHADES`, at `part` of the way, with letters that stand out from it."""
    at = part * (len(SHADES) - 1)
    lower = min(int(at), len(SHADES) - 2)
    mixed = [round(a + (at - lower) * (b - a)) for a, b in zip(SHADES[lower], SHADES[lower + 1], strict=True)]
    letters = "#101010" if sum(mixed) > 380 else "#f5f5f5"
    return Style(color=letters, bgcolor="#{:02x}{:02x}{:02x}".format(*mixed), bold=bold)


def state_table(value: np.ndarray, policy: np.ndarray, terminal: np.ndarray, name: str) -> Table:
    """The first states: their value, likeliest action and its probability."""
    table = Table("state", name, "action", "probability", box=None, pad_edge=True)
    for column in table.columns:
        column.justify = "right"
    for state in range(min(len(value), TABLE_ROWS)):
        best = int(policy[state].argmax())
        shown = ("–", "–") if terminal[state] else (str(best), f"{policy[state, best]:.4f}")
        table.add_row(str(state), f"{value[state]:.6g}", *shown)
    if len(value) > TABLE_ROWS:
        table.caption = f"and {len(value) - TABLE_ROWS:,} more: --json prints all"
    return table
