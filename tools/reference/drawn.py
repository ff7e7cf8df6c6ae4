"""Data that scripts and Go tests draw alike, to the bit."""
import numpy as np


def uniform(seed, n):
    """SplitMix64's first n numbers as float32 in [−½, ½)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24) - np.float32(0.5)


def draw(seed, n, d, k, findings):
    """Vectors n×d and labels: the class i mod k of each row shifts the vectors;
    with findings, labels n×k in which every third is unknown (−1)."""
    x = uniform(seed, n * d).reshape(n, d)
    shift = uniform(seed + 1, k * d).reshape(k, d)
    own = np.arange(n) % k
    x = x + shift[own] * np.float32(0.25)
    if not findings:
        return x, own
    coin = uniform(seed + 2, n * k).reshape(n, k)
    y = np.where(own[:, None] == np.arange(k), 1, 0)
    y = np.where(np.abs(coin) < 0.05, 1 - y, y)
    return x, np.where(coin > np.float32(1 / 6), -1, y)
