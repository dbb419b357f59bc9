import numpy as np
import pytest
from scipy import stats

from entrax.errors import EntraxError
from entrax.evaluation.statistics import (
    bootstrap,
    estimate,
    estimate_improvement,
    interquartile_mean,
    performance_profile,
    pooled_interquartile_mean,
    probability_of_improvement,
    summarise,
)


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
    with pytest.raises(EntraxError, match="one finite number"):
        summarise(np.array(values))


def test_the_summary_is_plain_data():
    assert summarise(np.array([1.0, 3.0])).to_json()["mean"] == 2.0


def test_the_probability_of_improvement_by_hand_and_by_mann_and_whitney():
    """(1, 3) against (2, 3): 1 < 2, 1 < 3, 3 > 2, 3 = 3 make 1.5 of 4 pairs."""
    one, other = np.array([1.0, 3.0]), np.array([2.0, 3.0])
    assert probability_of_improvement([one], [other]) == 0.375
    assert probability_of_improvement([other], [one]) == 0.625
    assert probability_of_improvement([one, np.array([5.0])], [other, np.array([4.0])]) == (0.375 + 1.0) / 2
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=7), rng.normal(size=9).round(1)
    expected = stats.mannwhitneyu(x, y).statistic / 63
    assert probability_of_improvement([x], [y]) == pytest.approx(expected, abs=1e-12)


def test_a_performance_profile_by_hand():
    """Strictly above: of (0, .5, 1) two thirds above 0, one above .5, none above 1; each task counts the same."""
    thresholds = np.array([0.0, 0.5, 1.0])
    profile = performance_profile([np.array([0.0, 0.5, 1.0]), np.array([0.6])], thresholds)
    np.testing.assert_allclose(profile, [(2 / 3 + 1) / 2, (1 / 3 + 1) / 2, 0.0])


def test_the_pooled_interquartile_mean_trims_all_seeds_of_all_tasks_together():
    rng = np.random.default_rng(1)
    scores = [rng.normal(size=5), rng.normal(size=8)]
    expected = stats.trim_mean(np.concatenate(scores), 0.25)
    assert pooled_interquartile_mean(scores) == pytest.approx(expected, abs=1e-12)


def test_the_bootstrap_of_two_seeds_by_enumeration():
    """Of (0, 1) the resampled mean is 0, ½, ½ or 1: the middle of its distribution is ½, all of it ends at 0 and 1."""
    found = estimate(pooled_interquartile_mean, [np.array([0.0, 1.0])], confidence=0.4)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    found = estimate(pooled_interquartile_mean, [np.array([0.0, 1.0])], confidence=0.95)
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_interval_of_one_task_is_that_of_scipy():
    """Two bootstraps by other random draws: their ends agree within the noise of 20,000 resamples."""
    values = np.random.default_rng(4).normal(size=9)
    mine = estimate(pooled_interquartile_mean, [values], resamples=20_000)
    theirs = stats.bootstrap([values], interquartile_mean_of, n_resamples=20_000, method="percentile", rng=5)
    interval = theirs.confidence_interval
    assert (mine.low, mine.high) == pytest.approx((interval.low, interval.high), abs=0.02 * values.std())


def interquartile_mean_of(values, axis):
    return interquartile_mean(np.moveaxis(values, axis, -1))


def test_the_interval_of_improvement_is_the_bca_of_scipy():
    rng = np.random.default_rng(6)
    ours, theirs = [rng.normal(1.0, 1.0, 4), rng.normal(1.0, 1.0, 5)], [rng.normal(size=3), rng.normal(size=6)]

    def by_pairs(a, b, c, d, axis):
        pairs = [np.mean(x[..., :, None] > y[..., None, :], axis=(-2, -1)) for x, y in ((a, c), (b, d))]
        return np.mean(pairs, axis=0)

    expected = stats.bootstrap([*ours, *theirs], by_pairs, n_resamples=500, method="BCa", rng=0).confidence_interval
    found = estimate_improvement(ours, theirs, resamples=500)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]), ([1.0, 1.0], [1.0, 1.0]), ([2.0], [1.0, 3.0]), ([2.0], [1.0])],
)
def test_where_bca_is_not_defined_the_percentile_interval_counts(ours, theirs):
    ours, theirs = [np.array(ours)], [np.array(theirs)]
    assert estimate_improvement(ours, theirs) == estimate(probability_of_improvement, ours, theirs)


def test_scores_that_all_tie_improve_on_nothing():
    ties = [np.ones(3), np.ones(2)]
    found = estimate(probability_of_improvement, ties, ties)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_the_bootstrap_is_stratified():
    """Tasks far apart with seeds that agree: drawn within tasks nothing varies, drawn over all of them it would."""
    found = estimate(pooled_interquartile_mean, [np.zeros(4), np.full(4, 100.0)])
    assert found.low == found.value == found.high == 50.0


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_over_two_tasks_cover_the_truth_about_as_often_as_they_say(shift):
    """P(X > Y) of normals a standard deviation apart is Φ(1/√2); the tasks' seeds are of unequal numbers."""
    rng, truth = np.random.default_rng(2), stats.norm.cdf(shift / np.sqrt(2))
    covered = 0
    for _ in range(200):
        ours = [rng.normal(shift, 1.0, 20), rng.normal(shift, 1.0, 15)]
        theirs = [rng.normal(0.0, 1.0, 20), rng.normal(0.0, 1.0, 15)]
        found = estimate(probability_of_improvement, ours, theirs, confidence=0.8, resamples=200)
        covered += found.low <= truth <= found.high
    assert 0.7 < covered / 200 < 0.9  # 0.8 within three standard errors of 200 draws, and a bootstrap's narrowness


def test_the_band_of_a_curve_draws_the_same_seeds_at_every_step():
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(4, 6))
    value, low, high = bootstrap(pooled_interquartile_mean, [matrix])
    np.testing.assert_allclose(value, interquartile_mean(matrix))
    for step in range(4):
        alone = bootstrap(pooled_interquartile_mean, [matrix[step]])
        np.testing.assert_allclose([low[step], high[step]], alone[1:])
    assert np.all(low < value)
    assert np.all(value < high)


@pytest.mark.parametrize("scores", [[], [np.array([])], [np.array([1.0]), np.array([np.nan])]])
def test_no_interval_without_scores(scores):
    with pytest.raises(EntraxError, match="finite scores"):
        estimate(pooled_interquartile_mean, scores)
