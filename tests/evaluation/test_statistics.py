import numpy as np
import pytest
from scipy import stats

from entrax.errors import EntraxError
from entrax.evaluation.statistics import interquartile_mean, summarise


@pytest.mark.parametrize("count", range(1, 14))
def test_the_interquartile_mean_is_the_trimmed_mean_of_scipy(count):
    values = np.random.default_rng(count).normal(size=(3, count))
    np.testing.assert_allclose(interquartile_mean(values), stats.trim_mean(values, 0.25, axis=-1), rtol=1e-12)


def test_a_summary_by_hand():
    summary = summarise(np.array([1.0, 2.0, 3.0, 100.0]))
    assert (summary.seeds, summary.mean, summary.median, summary.interquartile_mean) == (4, 26.5, 2.5, 2.5)
    assert summary.std == pytest.approx(np.sqrt((25.5**2 + 24.5**2 + 23.5**2 + 73.5**2) / 3))
    assert 1.0 <= summary.low <= 2.5 <= summary.high <= 100.0
    assert summary == summarise(np.array([1.0, 2.0, 3.0, 100.0]))  # the resampling is seeded


def test_one_seed_has_no_spread():
    summary = summarise(np.array([7.0]))
    assert (summary.std, summary.low, summary.high) == (0.0, 7.0, 7.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)  # a symmetric distribution: its interquartile mean is its mean, 0
    intervals = [summarise(rng.normal(size=24), confidence=0.8, resamples=300) for _ in range(300)]
    covered = np.mean([interval.low <= 0.0 <= interval.high for interval in intervals])
    assert 0.70 < covered < 0.86  # a percentile bootstrap of 24 values is a little narrow


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_what_cannot_be_summarised_is_a_sentence(values):
    with pytest.raises(EntraxError, match="one finite number for each"):
        summarise(np.array(values))


def test_the_summary_is_plain_data():
    assert summarise(np.array([1.0, 3.0])).to_json()["mean"] == 2.0
