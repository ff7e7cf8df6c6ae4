"""Golden fits for trainer's linear-probe from SciPy's minimisers.

Run: python3 tools/reference/linearprobe.py trainer/testdata/linearprobe
Needs python3-scipy. Written from the formulas in the doc comments, apart from
the Go code: scale and bias of the zero-shot score first, then

    ½‖Δ‖² + C·Σ log-loss(y, τ·x·T + x·Δ + b).
"""
import sys

import numpy as np
import scipy
from scipy.optimize import minimize

out = sys.argv[1]
rng = np.random.default_rng(20261124)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def log_loss(z, y):
    """Of logits [n, outputs]; binary for one output, softmax for more."""
    if z.shape[1] == 1:
        return np.sum(np.logaddexp(0, np.where(y == 1, -z[:, 0], z[:, 0])))
    return np.sum(np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y])


def slope(z, y):
    if z.shape[1] == 1:
        return 1 / (1 + np.exp(-z)) - y[:, None]
    p = np.exp(z - np.logaddexp.reduce(z, axis=1)[:, None])
    return p - np.eye(z.shape[1])[y]


def calibrate(base, y, scale):
    """τ under a log-normal prior of deviation 1 around scale, and b (findings)."""
    single = base.shape[1] == 1

    def cost(v):
        return log_loss(np.exp(v[0]) * base + (v[1] if single else 0), y) + (v[0] - np.log(scale)) ** 2 / 2

    v = np.array([np.log(scale), 0.0])
    for _ in range(5):
        v = minimize(cost, v, method="Nelder-Mead", options={"xatol": 1e-12, "fatol": 1e-14, "maxiter": 20000}).x
    return np.exp(v[0]), v[1] if single else 0.0


def probe(x, base, y, tau, c):
    k, d = base.shape[1], x.shape[1]

    def cost(v):
        delta, b = v[: k * d].reshape(k, d), v[k * d:]
        z = tau * base + x @ delta.T + b
        g = c * slope(z, y)
        return 0.5 * np.sum(delta**2) + c * log_loss(z, y), np.concatenate([(delta + g.T @ x).ravel(), g.sum(axis=0)])

    v = np.zeros(k * d + k)
    for _ in range(3):
        v = minimize(cost, v, jac=True, method="L-BFGS-B", options={"maxiter": 100000, "maxfun": 200000, "ftol": 1e-16, "gtol": 1e-11, "maxcor": 50}).x
    return cost(v)[0], v[: k * d].reshape(k, d), v[k * d:]


files = {}
for number, (n, d, k) in enumerate([(24, 60, 1), (200, 12, 1), (45, 30, 3)]):
    truth = rng.normal(size=(max(k, 1), d))
    x = unit(rng.normal(size=(n, d))).astype(np.float32)
    z = x @ truth.T + 0.5 * rng.normal(size=(n, k))
    y = (z[:, 0] > 0).astype(int) if k == 1 else z.argmax(axis=1)
    t = (0.3 * unit(0.5 * unit(truth) + unit(rng.normal(size=(k, d))))).astype(np.float32)
    files[f"x{number}"], files[f"y{number}"], files[f"t{number}"] = x, y.astype(np.int64), t
    x64, base = x.astype(float), x.astype(float) @ t.astype(float).T
    tau, b = calibrate(base, y, 100.0)
    files[f"tau{number}"] = np.array([[tau, b]])
    for i, c in enumerate([0.01, 1.0, 100.0]):
        objective, delta, bias = probe(x64, base, y, tau, c)
        files[f"objective{number}_{i}"] = np.array([[objective]])
        files[f"w{number}_{i}"] = tau * t.astype(float) + delta
        files[f"b{number}_{i}"] = bias[None]
        print(number, c, tau, b, objective)
np.savez_compressed(f"{out}/data.npz", **files)
print("scipy", scipy.__version__, "numpy", np.__version__)
