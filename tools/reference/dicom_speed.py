"""The peer in internal/dicom's speed test: times pydicom with numpy.

Reads lines from standard input, each the path of a file, and answers each with
the seconds for reading the file to stored values, and to what is shown.
"""
import sys
import time

import pydicom

from dicom import shown

for line in sys.stdin:
    start = time.perf_counter()
    ds = pydicom.dcmread(line.strip())
    ds.pixel_array
    middle = time.perf_counter()
    ds = pydicom.dcmread(line.strip())
    shown(ds)
    end = time.perf_counter()
    print(f"{middle - start} {end - middle}", flush=True)
