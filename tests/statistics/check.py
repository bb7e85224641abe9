"""Reckons with scipy what the example `statistics values` made of fixed runs.

check.py FILE: its JSON. Prints a line for each check. What is not drawn by lot must agree to 1e-9; ends of bootstraps
and bands to 3 % of what they are wide.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats

EXACT = 1e-9
DRAWN = 0.03
SAMPLES = 200_000


def report(name, ours, theirs, within):
    if abs(ours - theirs) <= within:
        print(f"ok {name}")
    else:
        print(f"WRONG {name}: {ours!r}, by scipy {theirs!r}")


def exact(name, ours, theirs):
    report(name, ours, theirs, EXACT * max(1.0, abs(theirs)))


def bca(statistic, samples, influences, variance, freedom):
    """Ends of the interval of 95 %: BCa with levels widened for few runs (Hesterberg 2015)."""
    rng = np.random.default_rng(1)
    drawn = stats.bootstrap(
        samples, statistic, n_resamples=SAMPLES, method="percentile", rng=rng, vectorized=True
    ).bootstrap_distribution
    seen = statistic(*samples)
    bias = stats.norm.ppf((np.mean(drawn < seen) + np.mean(drawn <= seen)) / 2)
    squares = np.sum(influences**2)
    acceleration = np.sum(influences**3) / (6 * squares**1.5)
    wider = np.sqrt(variance / squares)

    def end(level):
        z = bias + wider * stats.t.ppf(level, freedom)
        return np.quantile(drawn, stats.norm.cdf(bias + z / (1 - acceleration * z)))

    return end(0.025), end(0.975)


def contrast(name, ours, test, difference, p, interval):
    error = test.confidence_interval(0.95).high - test.confidence_interval(0.95).low
    error /= 2 * stats.t.ppf(0.975, test.df)
    exact(f"{name}: difference", ours["difference"], difference)
    exact(f"{name}: p", ours["p"], p)
    exact(f"{name}: widest", ours["widest"], abs(difference) + stats.t.ppf(0.96, test.df) * error)
    needed = stats.t.ppf(0.975, test.df) + stats.t.ppf(0.8, test.df)
    exact(f"{name}: detectable", ours["detectable"], needed * error)
    low, high = interval(error**2, test.df)
    for end, theirs in (("low", low), ("high", high)):
        report(f"{name}: {end}", ours[end], theirs, DRAWN * (high - low))


def sides(nth, ours):
    one, other = np.array(ours["one"]), np.array(ours["other"])

    def apart(one, other, axis=-1):
        return np.mean(other, axis=axis) - np.mean(one, axis=axis)

    chance = stats.permutation_test(
        (one, other),
        lambda one, other, axis: np.round(np.abs(apart(one, other, axis)), 12),
        n_resamples=np.inf,
        alternative="greater",
        vectorized=True,
    ).pvalue
    influences = np.concatenate(
        [-(one - one.mean()) / len(one), (other - other.mean()) / len(other)]
    )
    contrast(
        f"sides {nth}",
        ours,
        stats.ttest_ind(other, one, equal_var=False),
        apart(one, other),
        chance,
        lambda variance, freedom: bca(apart, (one, other), influences, variance, freedom),
    )


def blocks(nth, ours):
    of_each = np.array(ours["of_each"])
    chance = stats.permutation_test(
        (of_each,),
        lambda it, axis: np.round(np.abs(np.mean(it, axis=axis)), 12),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
        vectorized=True,
    ).pvalue
    influences = (of_each - of_each.mean()) / len(of_each)
    contrast(
        f"blocks {nth}",
        ours,
        stats.ttest_1samp(of_each, 0.0),
        of_each.mean(),
        chance,
        lambda variance, freedom: bca(np.mean, (of_each,), influences, variance, freedom),
    )


def holm(ours):
    """By its definition: scipy has only what Benjamini and others made of it."""
    chances = np.array(ours["chances"])
    order = np.argsort(chances)
    factors = len(chances) - np.arange(len(chances))
    adjusted = np.minimum(np.maximum.accumulate(chances[order] * factors), 1.0)
    for place, theirs in zip(order, adjusted):
        exact(f"holm {place}", ours["adjusted"][place], theirs)


def factorial(ours):
    neither, mtu, alua, both = ours["cells"]
    expected = {
        "alua": (alua + both - neither - mtu) / 2,
        "mtu": (mtu + both - neither - alua) / 2,
        "mtu_without_alua": mtu - neither,
        "mtu_with_alua": both - alua,
        "interaction": (both - alua) - (mtu - neither),
    }
    for name, theirs in expected.items():
        exact(f"factorial {name}", ours[name], theirs)


def band(ours):
    one, other = np.array(ours["one"]), np.array(ours["other"])
    covariance = np.cov(one.T) / len(one) + np.cov(other.T) / len(other)
    error = np.sqrt(np.diag(covariance))
    freedom = min(stats.ttest_ind(other[:, nth], one[:, nth], equal_var=False).df for nth in range(3))
    together = stats.multivariate_t(shape=covariance / np.outer(error, error), df=freedom, allow_singular=True)
    drawn = together.rvs(SAMPLES, random_state=np.random.default_rng(2))
    deviations = np.quantile(np.max(np.abs(drawn), axis=1), 0.95)
    for nth, (low, high) in enumerate(ours["band"]):
        middle = other[:, nth].mean() - one[:, nth].mean()
        exact(f"band {nth}: middle", (low + high) / 2, middle)
        width = 2 * deviations * error[nth]
        report(f"band {nth}: width", high - low, width, DRAWN * width)


def main():
    values = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for nth, ours in enumerate(values["sides"]):
        sides(nth, ours)
    for nth, ours in enumerate(values["blocks"]):
        blocks(nth, ours)
    holm(values["holm"])
    factorial(values["factorial"])
    band(values["band"])


main()
