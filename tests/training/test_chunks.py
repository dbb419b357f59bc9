"""The schedule's promises, for any options."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from entrax.training.chunks import chunks, crossed
from entrax.training.options import TrainingOptions


@st.composite
def asked(draw):
    """TrainingOptions, and their updates per step in exact hundredths."""
    hundredths = draw(st.one_of(st.integers(1, 300), st.sampled_from([1, 7, 25, 33, 100, 2000])))
    options = TrainingOptions(
        steps=draw(st.integers(1, 400)),
        envs=draw(st.integers(1, 9)),
        chunk=draw(st.integers(1, 20)),
        updates_per_step=hundredths / 100,
        learning_starts=draw(st.integers(0, 450)),
    )
    return options, hundredths


def owed(options, hundredths, step):
    """floor(ratio · (step - starts)) in integers."""
    return hundredths * max(0, step - options.learning_starts) // 100


@given(asked())
def test_the_steps_asked_for_are_taken_and_less_than_one_round_more(case):
    options, _ = case
    total = sum(chunk.steps_per_env * options.envs for chunk in chunks(options))
    assert options.steps <= total < options.steps + options.envs


@given(asked())
def test_updates_are_the_ratio_times_the_steps_after_the_random_ones(case):
    options, hundredths = case
    parts = list(chunks(options))
    steps = sum(chunk.steps_per_env * options.envs for chunk in parts)
    assert sum(chunk.updates for chunk in parts) == owed(options, hundredths, steps)


@given(asked())
def test_updates_of_a_chunk_are_owed_to_the_rows_before_it(case):
    options, hundredths = case
    for chunk in chunks(options):
        assert chunk.first_update + chunk.updates == owed(options, hundredths, chunk.first_step)
        assert chunk.updates == 0 or chunk.first_step > 0


@given(asked())
def test_chunks_follow_on_each_other(case):
    options, _ = case
    step = update = 0
    parts = list(chunks(options))
    for index, chunk in enumerate(parts):
        assert (chunk.index, chunk.first_step, chunk.first_update) == (index, step, update)
        assert 0 < chunk.steps_per_env <= options.chunk or chunk is parts[-1]
        step, update = step + chunk.steps_per_env * options.envs, update + chunk.updates
    assert parts[-1].steps_per_env == 0


@given(asked())
def test_steps_are_random_until_learning_starts_and_never_after(case):
    options, _ = case
    for chunk in chunks(options):
        assert chunk.random_actions == (chunk.first_step < options.learning_starts and chunk.steps_per_env > 0)
        if chunk.random_actions:
            assert chunk.first_step + chunk.steps_per_env * options.envs < options.learning_starts + options.envs


@given(asked())
def test_no_chunk_owes_more_updates_than_one_compiled_call_holds(case):
    options, _ = case
    most = ceil(options.updates_per_step * options.chunk * options.envs) + 1
    assert max(chunk.updates for chunk in chunks(options)) <= most


@given(asked(), st.integers(1, 200))
def test_a_longer_run_begins_with_the_same_chunks(case, more):
    options, _ = case
    longer = TrainingOptions(
        steps=options.steps + more,
        envs=options.envs,
        chunk=options.chunk,
        updates_per_step=options.updates_per_step,
        learning_starts=options.learning_starts,
    )
    same = list(chunks(options))[:-2]  # the last collecting chunk may be cut short, and the last of all only learns
    assert list(chunks(longer))[: len(same)] == same


@given(st.integers(0, 50), st.integers(0, 500), st.integers(0, 100))
def test_crossed_says_whether_a_multiple_was_passed(interval, before, by):
    multiples = [n for n in range(before + 1, before + by + 1) if interval and n % interval == 0]
    assert crossed(interval, before, before + by) == bool(multiples)
