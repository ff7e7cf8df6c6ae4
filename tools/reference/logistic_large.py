"""Golden fits of larger problems for trainer from scikit-learn.

Run: python3 tools/reference/logistic_large.py trainer/testdata/logistic
Needs python3-sklearn ≥ 1.2. Writes large.json. The data is not stored: what
drawn.py draws is drawn by trainer's tests again, to the bit. As in logistic.py, the
solver with the least objective is kept.
"""
import json
import sys
import warnings

import numpy as np
import sklearn
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from drawn import draw

warnings.filterwarnings("ignore")


def fit(x, y, c):
    k, best = len(np.unique(y)), None
    for solver in ["newton-cholesky", "lbfgs"] if k == 2 else ["newton-cg", "lbfgs"]:
        m = LogisticRegression(C=c, solver=solver, tol=1e-11, max_iter=2000).fit(x, y)
        z = x @ m.coef_.T + m.intercept_
        if k == 2:
            loss, p = np.logaddexp(0, np.where(y == 1, -z[:, 0], z[:, 0])).sum(), expit(z)
        else:
            loss, p = (np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y]).sum(), softmax(z, axis=1)
        objective = 0.5 * np.sum(m.coef_**2) + c * loss
        if best is None or objective < best[0]:
            best = float(objective), p[:8]
    return best


golden = {"tool": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}", "cases": []}
for seed, (n, d, k, findings, grid) in enumerate([
    (4, 2, 2, False, [1e-4, 1e-2, 1, 1e2, 1e4]),
    (6, 1152, 2, False, [1e-4, 1, 1e4]),
    (300, 3, 2, False, [1e-4, 1e-2, 1, 1e2, 1e4]),
    (600, 1152, 2, False, [1e-4, 1e-2, 1, 1e2, 1e4]),
    (1200, 1152, 2, False, [1e-2, 1, 1e2]),
    (5000, 300, 2, False, [1e-4, 1e-2, 1, 1e2, 1e4]),
    (5000, 1152, 2, False, [1e-4, 1e-2, 1, 1e4]),
    (2000, 150, 4, True, [1e-4, 1, 1e2]),
    (3000, 200, 3, False, [1e-4, 1e-2, 1]),
    (90, 400, 5, False, [1e-2, 1, 1e2]),
]):
    x, y = draw(1000 * (seed + 1), n, d, k, findings)
    x = x.astype(np.float64)
    for c in grid:
        if findings:
            fits = [fit(x[known], column[known], c) for column in y.T for known in [column >= 0]]
        else:
            fits = [fit(x, y, c)]
        golden["cases"].append({
            "seed": 1000 * (seed + 1), "n": n, "d": d, "k": k, "findings": findings, "c": c,
            "objective": [f[0] for f in fits],
            # Of the first rows that are known.
            "probabilities": [np.round(f[1], 9).tolist() for f in fits]})
        print(n, d, k, c, flush=True)
with open(f"{sys.argv[1]}/large.json", "w") as f:
    json.dump(golden, f, separators=(",", ":"))
    f.write("\n")
