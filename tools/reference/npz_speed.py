"""Times NumPy for embedcache's TestCacheSpeed (make bench-cache).

Run: python3 tools/reference/npz_speed.py MATRIX.npy, beside which it leaves the
same as a compressed npz. Each line of stdin is answered with the seconds that
loading that takes.
"""
import pathlib
import sys
import time

import numpy

archive = pathlib.Path(sys.argv[1]).with_suffix(".npz")
numpy.savez_compressed(archive, x=numpy.load(sys.argv[1]))
for _ in sys.stdin:
    start = time.perf_counter()
    numpy.load(archive)["x"]
    print(time.perf_counter() - start, flush=True)
