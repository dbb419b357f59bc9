"""The result of `entrax plan` as text: a map with arrows and values, or a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from entrax.errors import plain
from entrax.problems.layout import START

if TYPE_CHECKING:
    from entrax.problems import FiniteMDP, Layout

NEARLY = 0.99  # of the largest probability: actions that are as likely as that share a cell
MOST_ROWS = 60
TABLE_ROWS = 16
SHADES = ((0x2B, 0x1A, 0x4F), (0x2C, 0x52, 0x7F), (0x1F, 0x8A, 0x83), (0x6C, 0xBF, 0x62), (0xF6, 0xDF, 0x4D))
"""Background colours from the lowest value to the highest."""


def headline(answer: dict[str, Any]) -> str:
    """Return temperature, discount, horizon and convention as a line of text."""
    settings = f"temperature {answer['temperature']:g}, discount {answer['discount']:g}"
    if answer["horizon"] is not None:
        settings += f", {answer['horizon']} decisions"
    convention = "entropy" if answer["convention"] == "entropy" else "KL-to-prior"
    return f"{settings}, {convention} convention"


def show(title: str, mdp: "FiniteMDP", layout: "Layout | None", answer: dict[str, Any]) -> None:
    """Print the answer, in colour on a terminal."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=240)
    console.print(f"{plain(title)}: {mdp.states:,} states, {mdp.actions} actions; {headline(answer)}", soft_wrap=True)
    if "average_reward" in answer:
        console.print(f"average reward {answer['average_reward']:.10g}; values are relative to state 0", soft_wrap=True)
    console.print(f"start value {answer['start_value']:.10g} {certificate(answer)}\n", soft_wrap=True)
    show_values(console, layout, answer["value"], answer["policy"], np.asarray(mdp.terminal))
    if "posterior" in answer:
        show_posterior(console, layout, answer["posterior"], np.asarray(mdp.terminal))


def certificate(answer: dict[str, Any]) -> str:
    """Return the bound on the error, the method and the iterations as text."""
    method = f"{answer['method'] or 'backward recursion'}, {answer['iterations']} iterations"
    ended = "" if answer["converged"] else "; not converged"
    if not np.isfinite(answer["error_bound"]):
        return f"(not certified: the error may be of any size; {method}{ended})"
    return f"(error at most {answer['error_bound']:.1e}, {answer['error_norm']}; {method}{ended})"


def show_posterior(console: Console, layout: "Layout | None", posterior: dict[str, Any], terminal: np.ndarray) -> None:
    """Print the evidence, its bound, and the optimism of the exact posterior."""
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
    """Print a map if there is one and it fits, else a table."""
    if layout is None:
        console.print(state_table(value, policy, terminal, name))
        return
    height, width = layout.state.shape
    space, digits = console.width - 2, cell_width(value)
    if height > MOST_ROWS or width * 3 > space:
        console.print(f"The map of {height} × {width} cells is too large to print: --figure draws it.")
        return
    arrows, numbers = arrow_texts(layout, policy), number_texts(value)
    maps = [arrows]
    if width * (digits + 5) <= space:
        maps = [[f"{arrow} {number} " for arrow, number in zip(arrows, numbers, strict=True)]]
    elif width * (digits + 1) <= space:
        maps.append([f"{number} " for number in numbers])  # one below the other where they don't fit together
    for number, texts in enumerate(maps):
        lines = map_lines(layout, value, terminal, texts)
        for line in [Text(""), *lines] if number else lines:
            console.print(line, soft_wrap=True)


def map_lines(layout: "Layout", value: np.ndarray, terminal: np.ndarray, texts: Sequence[str]) -> list[Text]:
    """Return a line for each row of the map, each state on the colour of its value."""
    live = value[~terminal]
    low, high = (float(live.min()), float(live.max())) if live.size else (0.0, 0.0)
    cell = max(map(len, texts))
    lines = []
    for number, row in enumerate(layout.state):
        line = Text("  ")
        for letter, state in zip(layout.rows[number], row, strict=True):
            if state < 0:
                text, style = "█" * cell, Style(color="grey37")
            elif terminal[state] or letter in "GX":
                text, style = f"{letter:^{cell}}", Style(bold=True)
            else:
                text = texts[state]
                style = shade((value[state] - low) / (high - low) if high > low else 0.5, bold=letter == START)
            line.append(text, style)
        lines.append(line)
    return lines


def arrow_texts(layout: "Layout", policy: np.ndarray) -> list[str]:
    """Return the likeliest moves of each state, after an S where episodes start."""
    marks = np.where(layout.where(START), START, " ")
    return [f"{mark}{moves(row, layout.moves):>2}" for mark, row in zip(marks, policy, strict=True)]


def number_texts(value: np.ndarray) -> list[str]:
    """Return the values as texts of one width."""
    width, digits = cell_width(value), decimals(value)
    return [f"{number:{width}.{digits}f}" for number in value]


def moves(policy: np.ndarray, arrows: Sequence[str]) -> str:
    """Return the arrows of the likeliest actions; • if there are three or more."""
    best = "".join(dict.fromkeys(arrows[a] for a in map(int, np.flatnonzero(policy >= NEARLY * policy.max()))))
    return best if len(best) <= 2 else "•"


def decimals(value: np.ndarray) -> int:
    """Return the digits after the point that show three figures of the largest value."""
    largest = float(np.abs(value).max(initial=0))
    return 2 if largest == 0 else int(np.clip(2 - np.floor(np.log10(largest)), 0, 8))


def cell_width(value: np.ndarray) -> int:
    """Return the width in characters of the longest value."""
    return max(len(f"{number:.{decimals(value)}f}") for number in (value.min(), value.max(), 0.0))


def shade(part: float, *, bold: bool) -> Style:
    """Return a background `part` of the way through `SHADES`, and legible letters."""
    at = part * (len(SHADES) - 1)
    lower = min(int(at), len(SHADES) - 2)
    mixed = [round(a + (at - lower) * (b - a)) for a, b in zip(SHADES[lower], SHADES[lower + 1], strict=True)]
    letters = "#101010" if sum(mixed) > 380 else "#f5f5f5"
    return Style(color=letters, bgcolor="#{:02x}{:02x}{:02x}".format(*mixed), bold=bold)


def state_table(value: np.ndarray, policy: np.ndarray, terminal: np.ndarray, name: str) -> Table:
    """Return a table of the first states with value, likeliest action and probability."""
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
