"""Golden ridge regressions for trainer and figures of values for evaluate.

Run: python3 tools/reference/ridge.py trainer/testdata/ridge/golden.json evaluate/testdata/values.json
Needs python3-sklearn >= 1.2 and scipy. ridge-prior is Ridge on vectors and
values from which the prior's score was taken out by least squares, written out.
"""
import json
import sys

import numpy as np
import scipy
import sklearn
from scipy.stats import spearmanr
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_absolute_error, r2_score

rng = np.random.default_rng(20261125)
cases = []
for n, d, alpha in [(8, 20, 1.0), (8, 20, 1e-4), (50, 6, 0.1), (40, 40, 10.0), (200, 30, 1e4)]:
    x = np.round(rng.normal(size=(n, d)) / np.sqrt(d), 4).astype(np.float32).astype(float)
    t = np.round(rng.normal(size=d), 4).astype(np.float32).astype(float)
    y = np.round(5 + x @ (3 * t / np.linalg.norm(t) + rng.normal(size=d)) + rng.normal(size=n), 4)
    m = Ridge(alpha=alpha, solver="svd").fit(x, y)
    s = (x @ t)[:, None]
    rest = x - LinearRegression().fit(s, x).predict(s)
    ry = y - LinearRegression().fit(s, y).predict(s)
    delta = Ridge(alpha=alpha, solver="svd", fit_intercept=False).fit(rest, ry).coef_
    line = LinearRegression().fit(s, y - x @ delta)
    cases.append(dict(n=n, d=d, alpha=alpha, x=x.ravel().tolist(), y=y.tolist(), t=t.tolist(), coef=m.coef_.tolist(), intercept=float(m.intercept_),
                      prior_coef=(delta + line.coef_[0] * t).tolist(), prior_intercept=float(line.intercept_)))
with open(sys.argv[1], "w") as f:
    json.dump(dict(tool="scikit-learn " + sklearn.__version__, cases=cases), f)

figures = []
for n, digits, noise in [(10, 6, 1.0), (60, 6, 0.5), (60, 0, 1.0), (300, 1, 3.0)]:
    y = np.round(rng.normal(size=n) * 2, digits)
    p = np.round(y + noise * rng.normal(size=n), digits)
    figures.append(dict(truth=y.tolist(), predicted=p.tolist(), r2=r2_score(y, p), mae=mean_absolute_error(y, p), spearman=float(spearmanr(y, p)[0])))
with open(sys.argv[2], "w") as f:
    json.dump(dict(tool=f"scikit-learn {sklearn.__version__}, scipy {scipy.__version__}", cases=figures), f)
