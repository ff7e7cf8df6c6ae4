"""Golden logits of published few-shot heads for trainer, from PyTorch.

Run: python3 tools/reference/fewshot.py trainer/testdata/fewshot
Needs python3-torch. Writes golden.json. Each head is written from its paper's
formulas as they stand in the authors' code, by autograd and PyTorch's own
optimisers, for classes that exclude one another and for a finding, whose two
texts are ±t/2. The data is not stored: what drawn.py draws is drawn by the
tests again.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

from drawn import draw, uniform

torch.set_default_dtype(torch.float64)
S = 100.0


def unit(x):
    return torch.nn.functional.normalize(torch.tensor(np.asarray(x, dtype=np.float64)), dim=1).float().double()


def prototype(x, y, t, test):
    means = torch.stack([x[y == k].mean(0) for k in range(len(t))])
    return -torch.cdist(test, means) ** 2


def gda(x, y, t, test, alpha=0.5):
    mus = torch.stack([x[y == k].mean(0) for k in range(len(t))])
    centered = torch.cat([x[y == k] - mus[k] for k in range(len(t))])
    cov = centered.T.cov()
    inverse = x.shape[1] * torch.linalg.pinv((len(x) - 1) * cov + cov.trace() * torch.eye(x.shape[1]))
    w = mus @ inverse
    b = np.log(1 / len(t)) - torch.einsum("nd,dc,nc->n", mus, inverse, mus) / 2
    return S * test @ t.T + alpha * (test @ w.T + b)


def tip(x, y, t, test, alpha=1.17, beta=5.5):
    return S * test @ t.T + alpha * torch.exp(-beta * (1 - test @ x.T)) @ F.one_hot(y, len(t)).double()


def tip_f(x, y, t, test, alpha=1.17, beta=5.5, epochs=20):
    keys = x.clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([keys], lr=1e-3, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        logits = S * x @ t.T + alpha * torch.exp(-beta * (1 - x @ keys.T)) @ F.one_hot(y, len(t)).double()
        optimizer.zero_grad()
        F.cross_entropy(logits, y).backward()
        optimizer.step()
        schedule.step()
    return tip(keys.detach(), y, t, test, alpha, beta)


def knn(x, y, t, test, k=10):
    likeness, index = (test @ x.T).topk(k)
    votes = F.softmax(likeness / 0.07, dim=1)[:, :, None] * F.one_hot(y[index], len(t))
    return votes.sum(1)  # probabilities


def lpp(x, y, t, test):
    texts = x @ t.T
    w = torch.stack([x[y == k].sum(0) for k in range(len(t))]).requires_grad_(True)
    b = torch.zeros(len(t), requires_grad=True)
    start = 250 * torch.stack([texts[y == k, k].mean() for k in range(len(t))]).mean()
    alpha = torch.full((len(t),), float(start), requires_grad=True)
    optimizer = torch.optim.SGD([w, b], 4 * len(x) / torch.linalg.eigvalsh(x.T @ x).max(), momentum=0.9)
    for epoch in range(300):
        alpha.grad = None
        optimizer.zero_grad()
        F.cross_entropy(x @ w.T + b + alpha * texts, y).backward()
        optimizer.step()
        if (epoch + 1) % 10 == 0:
            alpha.data -= len(x) / (4 * (texts**2).sum(0).max()) * alpha.grad
    return (test @ w.T + b + alpha * (test @ t.T)).detach()


def clap(x, y, t, test, S=10.0):  # at 100 it swings: 1e-12 of X moves logits by 0.5
    length = t.norm(dim=1)
    own = F.softmax(S * x @ t.T, dim=1)
    weight = torch.stack([own[y == k, k].mean() for k in range(len(t))])
    w = t.clone().requires_grad_(True)
    optimizer = torch.optim.SGD([w], 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for _ in range(300):
        optimizer.zero_grad()
        loss = F.cross_entropy(S * length * (x @ F.normalize(w, dim=1).T), y) + (weight * ((w - t) ** 2).sum(1)).mean()
        loss.backward()
        optimizer.step()
        schedule.step()
    return (S * length * (test @ F.normalize(w, dim=1).T)).detach()


def ss_text(x, y, t, test):
    n = len(x)
    w = t + S / (n * max(1 / n, 1e-3)) * F.one_hot(y, len(t)).double().T @ x
    return S * test @ F.normalize(w, dim=1).T


def mlp(x, y, classes, exclusive, test):
    """Three epochs from drawn weights, without dropout and shuffling."""
    sizes = [x.shape[1], 16, 8, classes]
    layers = []
    for i in range(3):
        layer = torch.nn.Linear(sizes[i], sizes[i + 1])
        layer.weight.data = torch.tensor(uniform(70 + i, sizes[i + 1] * sizes[i]).reshape(sizes[i + 1], sizes[i]).astype(np.float64))
        layer.bias.data.zero_()
        layers += [layer, torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, eps=1e-7)
    for _ in range(3):
        for first in range(0, len(x), 32):
            z, labels = net(x[first:first + 32]), y[first:first + 32]
            loss = F.cross_entropy(z, labels) if exclusive else F.binary_cross_entropy_with_logits(z[labels >= 0], labels[labels >= 0].double())
            loss = loss + 1e-5 * sum((net[i].weight**2).sum() for i in [0, 2])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net(test).detach()


heads = {"prototype": prototype, "gda": gda, "tip-adapter": tip, "tip-adapter-f": tip_f, "knn": knn,
         "lp++": lpp, "clap": clap, "ss-text": ss_text}
golden = {"tool": f"PyTorch {torch.__version__}, numpy {np.__version__}", "cases": []}
for seed, n, d, k in [(50, 30, 40, 3), (60, 24, 64, 2), (65, 300, 20, 4)]:
    x, y = draw(seed, n + 6, d, k, False)
    texts = unit(uniform(seed + 5, k * d).reshape(k, d))
    if k == 2:
        texts = torch.stack([-texts[1] / 2, texts[1] / 2])
    x, y = unit(x), torch.tensor(y)
    for name, head in heads.items():
        if n > 256 and name in ["tip-adapter-f", "clap", "lp++"]:
            continue  # batches in an order of our own; LP++ swings there: 1e-9 of X moves logits by 20
        z = head(x[:n], y[:n], texts, x[n:])
        golden["cases"].append({"head": name, "seed": seed, "n": n, "d": d, "k": k, "logits": z.tolist()})
    if k > 2:
        z = mlp(x[:n], y[:n], k, True, x[n:])
        golden["cases"].append({"head": "mlp", "seed": seed, "n": n, "d": d, "k": k, "logits": z.tolist()})
with open(f"{sys.argv[1]}/golden.json", "w") as f:
    json.dump(golden, f, separators=(",", ":"))
    f.write("\n")
