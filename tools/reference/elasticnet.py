"""Golden elastic nets for trainer from scikit-learn's LogisticRegression (saga).

Run: python3 tools/reference/elasticnet.py trainer/testdata/elasticnet/golden.json
Needs python3-sklearn >= 1.2. saga runs until its steps are below 1e-13; its
random order depends on the seed alone. "objective" is written out over its
coefficients.
"""
import json
import sys
import warnings

import numpy as np
import sklearn
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("error")
rng = np.random.default_rng(20261125)


def case(name, n, d, k, c, ratio, weighted=False, collinear=False):
    centers = 0.7 * rng.normal(size=(k, d))
    y = np.arange(n) % k
    x = centers[y] + rng.normal(size=(n, d))
    if collinear:
        x[:, 1] = x[:, 0]
    x = np.round(x / np.linalg.norm(x, axis=1).mean(), 4).astype(np.float32)
    s = np.round(rng.uniform(0.5, 2, size=n), 3) if weighted else np.ones(n)
    m = LogisticRegression(penalty="elasticnet", solver="saga", C=c, l1_ratio=ratio, tol=1e-13, max_iter=2_000_000, random_state=0,
                           multi_class="ovr" if k == 2 else "multinomial").fit(x.astype(float), y, sample_weight=s)
    z = x.astype(float) @ m.coef_.T + m.intercept_
    if k == 2:
        loss = np.logaddexp(0, z[:, 0]) - y * z[:, 0]
    else:
        loss = logsumexp(z, axis=1) - z[np.arange(n), y]
    objective = (1 - ratio) / 2 * (m.coef_ ** 2).sum() + ratio * np.abs(m.coef_).sum() + c * (s * loss).sum()
    return dict(name=name, n=n, d=d, k=k, c=c, ratio=ratio, x=x.astype(float).ravel().tolist(), y=y.tolist(), weights=s.tolist() if weighted else None,
                coef=m.coef_.ravel().tolist(), intercept=m.intercept_.tolist(), objective=float(objective), zeros=int((m.coef_ == 0).sum()))


cases = [
    case("few samples", 16, 24, 2, 1.0, 0.5),
    case("many samples", 80, 6, 2, 10.0, 0.2),
    case("lasso", 60, 20, 2, 3.0, 1.0),
    case("one weight or so", 30, 5, 2, 0.35, 0.9),
    case("weak penalty", 60, 5, 2, 100.0, 0.5),
    case("weighted", 50, 10, 2, 2.0, 0.7, weighted=True),
    case("collinear", 50, 8, 2, 2.0, 0.5, collinear=True),
    case("three classes", 60, 10, 3, 2.0, 0.5),
    case("three classes, lasso", 90, 8, 3, 5.0, 1.0),
]
with open(sys.argv[1], "w") as f:
    json.dump(dict(tool="scikit-learn " + sklearn.__version__, cases=cases), f)
