"""Golden fits for trainer from scikit-learn's LogisticRegression.

Run: python3 tools/reference/logistic.py trainer/testdata/logistic
Needs python3-sklearn ≥ 1.2. Writes data.npz (inputs, coefficients and decision
values) and golden.json (objectives and what was asked).

No solver of scikit-learn's reaches the minimum on every problem, so each that
applies is run and the one with the least objective is kept; "gradient" says how
far from the minimum it stopped: since ½‖w‖² has curvature 1, the coefficients
lie within about that distance of the true ones.
"""
import json
import sys
import warnings

import numpy as np
import sklearn
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

out = sys.argv[1]
rng = np.random.default_rng(20261123)
grid = [1e-4, 1e-2, 1.0, 1e2, 1e4]
warnings.filterwarnings("ignore")


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def binary(n, d, noise, share=0.5):
    w = rng.normal(size=d)
    x = unit(rng.normal(size=(n, d)))
    z = x @ w / np.std(x @ w) + noise * rng.normal(size=n)
    return x, (z > np.quantile(z, 1 - share)).astype(int)


def constant(x):
    x = x.copy()
    x[:, 3] = 0.25
    return x


def many(n, d, k):
    centers = rng.normal(size=(k, d))
    y = rng.integers(k, size=n)
    return unit(centers[y] + 2 * rng.normal(size=(n, d))), y


def findings(n, d, k):
    """Labels of k findings, a third of them unknown (−1)."""
    x = unit(rng.normal(size=(n, d)))
    z = x @ rng.normal(size=(d, k)) + rng.normal(size=(n, k))
    return x, np.where(rng.random((n, k)) < 1 / 3, -1, (z > 0.4).astype(int))


few = binary(30, 200, 0.5)
tall = binary(500, 20, 1.0)
rare = binary(300, 40, 1.0, 0.07)
twice = binary(25, 12, 1.0)
cases = {
    "n below D": (few, {}),
    "MedSigLIP width": (binary(64, 1152, 1.0), {}),
    "n above D": (tall, {}),
    "separable": (binary(50, 100, 0.0), {}),
    "two samples": ((few[0][:2], np.array([0, 1])), {}),
    "rare": (rare, {}),
    "rare, balanced": (rare, {"class_weight": "balanced"}),
    "standardised with a constant column": ((constant(tall[0] * np.float32(3) + np.float32(1)), tall[1]), {"standardize": True}),
    "standardised, n below D": (few, {"standardize": True}),
    "rows that stand twice": ((np.repeat(twice[0], 2, axis=0), np.repeat(twice[1], 2)), {}),
    "a column that stands twice": ((np.hstack([twice[0], twice[0][:, :1]]), twice[1]), {}),
    "three classes": (many(90, 60, 3), {}),
    "five classes, balanced": (many(200, 16, 5), {"class_weight": "balanced"}),
    "four classes, n below D": (many(40, 120, 4), {}),
    "findings with unknown labels": (findings(120, 30, 3), {}),
}


def loss(x, y, k, coef, intercept, weight):
    """Σ weight·log-loss, and its gradient by logit, [n, outputs]."""
    z = x @ coef.T + intercept
    if k == 2:
        value = np.logaddexp(0, np.where(y == 1, -z[:, 0], z[:, 0]))
        slope = expit(z) - y[:, None]
    else:
        value = np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y]
        slope = softmax(z, axis=1) - np.eye(k)[y]
    return np.sum(weight * value), weight[:, None] * slope


def fit(x, y, c, class_weight):
    """The best fit of those that scikit-learn's solvers reach."""
    k = len(np.unique(y))
    weight = np.ones(len(y)) if class_weight is None else (len(y) / (k * np.bincount(y)))[y]
    best = None
    for solver in ["newton-cg", "lbfgs"] + (["newton-cholesky"] if k == 2 else []):
        m = LogisticRegression(C=c, class_weight=class_weight, solver=solver, tol=1e-12, max_iter=20000,
                               multi_class="multinomial" if k > 2 else "ovr").fit(x, y)
        value, slope = loss(x, y, k, m.coef_, m.intercept_, weight)
        objective = 0.5 * np.sum(m.coef_**2) + c * value
        gradient = np.hypot(np.linalg.norm(m.coef_ + c * slope.T @ x), np.linalg.norm(c * slope.sum(axis=0)))
        if best is None or objective < best["objective"]:
            best = {"objective": float(objective), "gradient": float(gradient), "solver": solver,
                    "coef": m.coef_, "intercept": m.intercept_, "decision": x @ m.coef_.T + m.intercept_}
    return best


golden = {"tool": f"scikit-learn {sklearn.__version__}, numpy {np.__version__}", "cases": []}
files = {}
for number, (name, ((x, y), options)) in enumerate(cases.items()):
    files[f"x{number}"], files[f"y{number}"] = x.astype(np.float32), y.astype(np.int64)
    fitted = x.astype(np.float64)
    scaler = StandardScaler().fit(fitted) if options.get("standardize") else None
    if scaler is not None:
        fitted = scaler.transform(fitted)
    columns = y.reshape(len(y), -1).T
    for i, c in enumerate(grid):
        fits = [fit(fitted[known], column[known], c, options.get("class_weight"))
                for column in columns for known in [column >= 0]]
        coef, intercept = np.vstack([f["coef"] for f in fits]), np.concatenate([f["intercept"] for f in fits])
        if scaler is not None:
            coef = coef / scaler.scale_
            intercept = intercept - coef @ scaler.mean_
        files[f"w{number}_{i}"], files[f"b{number}_{i}"] = coef, intercept
        golden["cases"].append({
            "name": name, "data": number, "fit": i, "c": c, "class_weight": options.get("class_weight", "none"),
            "standardize": scaler is not None, "exclusive": bool(len(columns) == 1 and y.max() > 1),
            "classes": len(columns) if len(columns) > 1 or y.max() == 1 else int(y.max()) + 1,
            "objective": [f["objective"] for f in fits], "gradient": max(f["gradient"] for f in fits),
            "solver": [f["solver"] for f in fits]})
np.savez_compressed(f"{out}/data.npz", **files)
with open(f"{out}/golden.json", "w") as f:
    json.dump(golden, f, indent=1)
    f.write("\n")
