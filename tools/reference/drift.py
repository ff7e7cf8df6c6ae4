"""Golden distances of two samples, with exact p values of small ones, for evaluate.

Run: /usr/bin/python3 tools/reference/drift.py evaluate/testdata/drift.json
Needs python3-scipy. KS and Wasserstein are scipy's; PSI and MMD^2 are written out,
MMD^2 as Gretton et al. (JMLR 2012), eq. 3, over the matrix of all pairs, with the
median of scipy's pdist as bandwidth. An exact p is the share of all arrangements
of the units in which the statistic is at least as great.
"""
import itertools
import json
import sys

import numpy as np
import scipy
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ks_2samp, wasserstein_distance

rng = np.random.default_rng(20261127)


def psi(a, b):
    edges = np.unique(np.quantile(a, np.arange(1, 10) / 10))
    bins = len(edges) + 1
    count = lambda v: np.bincount(np.searchsorted(edges, v, side="left"), minlength=bins)
    p = (count(a) + 0.5) / (len(a) + bins / 2)
    q = (count(b) + 0.5) / (len(b) + bins / 2)
    return float(((q - p) * np.log(q / p)).sum())


def mmd2(kernel, units, first):
    """kernel is of all rows, first says which are of the first set."""
    other = units[:, None] != units[None, :]
    a, b = np.ix_(first, first), np.ix_(~first, ~first)
    within = lambda at: (kernel * other)[at].sum() / other[at].sum()
    return within(a) + within(b) - 2 * kernel[np.ix_(first, ~first)].mean()


def exact(units_a, units_b, statistic):
    """statistic is of the set of units that are in the first set."""
    everyone = np.concatenate([np.unique(units_a), np.unique(units_b)])
    observed = statistic(np.unique(units_a))
    values = [statistic(np.array(c)) for c in itertools.combinations(everyone, len(np.unique(units_a)))]
    return float(np.mean(np.array(values) >= observed - 1e-12))


def units_of(sizes, start):
    return np.repeat(np.arange(start, start + len(sizes)), sizes)


def values_case(a, b, units_a, units_b, small):
    units, pooled = np.concatenate([units_a, units_b]), np.concatenate([a, b])
    c = {
        "a": a.tolist(), "b": b.tolist(), "units_a": units_a.tolist(), "units_b": units_b.tolist(),
        "ks": float(ks_2samp(a, b).statistic), "wasserstein": float(wasserstein_distance(a, b)), "psi": psi(a, b),
    }
    if small:
        ks = lambda chosen: ks_2samp(pooled[np.isin(units, chosen)], pooled[~np.isin(units, chosen)]).statistic
        c["p"] = exact(units_a, units_b, ks)
    return c


def vectors_case(a, b, units_a, units_b, small):
    a, b = a.astype(np.float32), b.astype(np.float32)
    x, units = np.concatenate([a, b]).astype(float), np.concatenate([units_a, units_b])
    d = squareform(pdist(x))
    apart = units[:, None] != units[None, :]
    sigma = np.median(d[np.triu(apart, 1)])
    kernel = np.exp(-(d**2) / (2 * sigma**2))
    stat = lambda chosen: mmd2(kernel, units, np.isin(units, chosen))
    c = {
        "a": a.tolist(), "b": b.tolist(), "units_a": units_a.tolist(), "units_b": units_b.tolist(),
        "bandwidth": float(sigma), "mmd2": float(stat(np.unique(units_a))),
    }
    if small:
        c["p"] = exact(units_a, units_b, stat)
    return c


one = np.ones
values, vectors = [], []
for sizes_a, sizes_b, shift, ties, small in [
    (one(5, int), one(6, int), 0.8, False, True),
    ([1, 3, 2, 1, 2], [2, 2, 1, 4, 1], 0.5, False, True),
    ([2] * 6, [2] * 5, 1.5, True, True),
    (one(80, int), one(120, int), 0.3, False, False),
    ([3] * 40, [1, 4] * 20, 0.0, True, False),
]:
    ua, ub = units_of(sizes_a, 0), units_of(sizes_b, 1000)
    a, b = rng.normal(size=len(ua)), rng.normal(shift, 1.2, size=len(ub))
    if ties:
        a, b = np.round(a, 0), np.round(b, 0)
    values.append(values_case(a, b, ua, ub, small))
for sizes_a, sizes_b, dim, shift, small in [
    (one(5, int), one(5, int), 3, 1.0, True),
    ([1, 2, 2, 1], [2, 1, 3, 1, 1], 4, 0.6, True),
    (one(30, int), one(25, int), 8, 0.2, False),
    ([3] * 15, [1, 2] * 10, 6, 0.0, False),
]:
    ua, ub = units_of(sizes_a, 0), units_of(sizes_b, 1000)
    vectors.append(vectors_case(rng.normal(size=(len(ua), dim)), rng.normal(shift, 1, size=(len(ub), dim)), ua, ub, small))
json.dump({"tool": f"scipy {scipy.__version__}, numpy {np.__version__}", "values": values, "vectors": vectors}, open(sys.argv[1], "w"), separators=(",", ":"))
