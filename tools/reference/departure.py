"""Golden distances of trainer's linear-probe from zero-shot, by SciPy's minimiser.

Run: python3 tools/reference/departure.py trainer/testdata/linearprobe/departure.npz
Needs python3-scipy. Written from the doc comment of departure, apart from the Go
code: a logistic regression on two scores in units of their standard deviation
within classes, with normal priors, ρ by its coefficients, and the mean of ρ under two priors of b by
their evidence.
"""
import sys

import numpy as np
from scipy.optimize import minimize

rng = np.random.default_rng(20261125)


def spread(scores, y, weight, k):
    """Standard deviation within classes; of several outputs that of differences."""
    if k > 1:
        scores = scores - scores.mean(axis=1, keepdims=True)
    variance = 0
    for c in np.unique(y):
        own, w = scores[y == c], weight[y == c]
        variance += np.sum(w[:, None] * (own - np.average(own, axis=0, weights=w)) ** 2)
    return np.sqrt(variance / weight.sum() * (1 if k == 1 else 2 / (k - 1)))


def distance(z, d, y, weight, units):
    k = z.shape[1]
    sz, sd = spread(z, y, weight, k), spread(d, y, weight, k)
    if k == 1:  # the middle of the classes' means at 0, so that c is near 0
        z, d = (s - (np.average(s[y == 0, 0], weights=weight[y == 0]) + np.average(s[y == 1, 0], weights=weight[y == 1])) / 2 for s in (z, d))
    worth = 0.5 * min(1, units / 32)

    def under(learnt, dev):
        """ρ and the logarithm of the evidence under a prior of b."""

        def cost(v):
            logits = v[0] * z / sz + v[1] * d / sd + (v[2] if k == 1 else 0)
            if k == 1:
                loss = np.logaddexp(0, np.where(y == 1, -logits[:, 0], logits[:, 0]))
            else:
                loss = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
            free = (v[2] / 30) ** 2 / 2 if k == 1 else 0
            return weight @ loss + (v[0] - 1) ** 2 / 2 / worth**2 + (v[1] - learnt) ** 2 / 2 / dev**2 + free

        v = np.array([1, learnt, 0.0] if k == 1 else [1, learnt])
        for _ in range(4):
            v = minimize(cost, v, method="Nelder-Mead", options={"xatol": 1e-12, "fatol": 1e-14, "maxiter": 20000}).x
        step = 1e-3 * np.eye(len(v))  # the curvature by differences
        curvature = [[(cost(v + i + j) - cost(v + i - j) - cost(v - i + j) + cost(v - i - j)) / 4e-6 for j in step] for i in step]
        evidence = -cost(v) - np.linalg.slogdet(np.array(curvature))[1] / 2 - np.log(worth * dev)
        return min(1, max(0, v[1]) / sd / (max(0.1, v[0]) / sz)), evidence

    usual, evidence = under(min(2, (max(0, units - 2) / 45) ** 1.5), units / 150)
    if units < 7:
        return usual, 0
    rare, other = under(3, 1)
    rare = min(rare, units / 45)
    odds = 0.003 / 0.997 * np.exp(other - evidence)
    return (usual + odds * rare) / (1 + odds), odds


arrays = {}
for number, (rows, k, units, sense, apart) in enumerate([
    (16, 1, 16, 0.7, 0.6), (120, 1, 90, 0.2, 0.6), (60, 3, 48.5, 0.5, 0.6), (30, 1, 20, -3, 0.6),
    (12, 1, 12, 0.7, 5), (12, 3, 9, 0.7, 4), (4, 1, 4, 0.7, 5),
]):
    kinds = max(2, k)
    y = np.arange(rows) % kinds
    weight = rng.uniform(0.3, 1, rows)
    truth = (2 * y[:, None] - 1.0) if k == 1 else 2.0 * np.eye(k)[y]
    # Each value is that of float32, so that both see the same; scores have an offset.
    z = (0.02 * (sense * truth / 2 + rng.standard_normal((rows, k))) + 0.3).astype(np.float32).astype(float)
    d = (0.2 * (apart * truth / 2 + rng.standard_normal((rows, k)))).astype(np.float32).astype(float)
    weight = weight.astype(np.float32).astype(float)
    rho, odds = distance(z, d, y, weight, units)
    for name, value in (("z", z), ("d", d), ("y", y), ("weight", weight), ("units", [units]), ("rho", [rho])):
        arrays[f"{name}{number}"] = np.asarray(value, dtype=np.float32)
    print(number, "rho", rho, "odds of the second part", odds)
np.savez(sys.argv[1], **arrays)
