"""Arrays as NumPy writes them, for internal/npy.

    python3 tools/reference/npy.py internal/npy/testdata

read.npz holds arrays of every type and order, read.json what they mean;
written-*.npy are to be matched byte for byte; refused-*.npy are to be refused.
"""
import io
import json
import pathlib
import sys
import zipfile

import numpy as np
from numpy.lib import format as npy


def arrays():
    values = np.array([[0, 1, -1, 2], [100, -100, 127, -128], [3, 5, 7, 11]])
    for kind in ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]:
        v = np.abs(values) if kind[0] == "u" else values
        for order in ["<", ">"] if kind[1] != "1" else ["|"]:
            yield f"{kind}{'be' if order == '>' else ''}", v.astype(order + kind)
    yield "b1", values > 0
    yield "half", np.array([0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x3555, 0x7bff, 0x7c00, 0xfc00, 0x7e00], "<u2").view("<f2")
    yield "double", np.array([np.pi, 1e300, -1e-300, 5e-324, 2**24 + 1, np.nan, -np.inf])
    yield "limits", np.array([np.iinfo("i8").max, np.iinfo("i8").min, 2**53 + 1])
    yield "scalar", np.float32(2.5)
    yield "empty", np.zeros((0, 3), np.float32)
    yield "emptied", np.zeros((2, 0, 3), np.int16)
    yield "fortran", np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4))
    yield "fortran3", np.asfortranarray(np.arange(24, dtype=np.float64).reshape(2, 3, 4))
    yield "transposed", np.arange(6, dtype=np.uint8).reshape(2, 3).T
    yield "stepped", np.arange(40, dtype=np.float32).reshape(5, 8)[::2, 1::3]
    yield "ones", np.ones((1, 1, 1, 1, 2), np.int32)


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    want = []
    with zipfile.ZipFile(out / "read.npz", "w") as z:
        for i, (name, a) in enumerate(arrays()):
            data = io.BytesIO()
            a = np.asanyarray(a)
            npy.write_array(data, a, version=[(1, 0), (2, 0), (3, 0)][i % 3])
            z.writestr(zipfile.ZipInfo(name + ".npy"), data.getvalue(), [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][i % 2])
            want.append({"name": name, "shape": list(a.shape), "dtype": a.dtype.str,
                         # As text: JSON knows no NaN and readers round integers.
                         "values": [repr(v) for v in a.ravel().tolist()], "float32": [repr(float(v)) for v in a.astype(np.float64).ravel().astype(np.float32)]})
    (out / "read.json").write_text("[\n" + ",\n".join(json.dumps(w) for w in want) + "\n]\n")
    np.save(out / "written-matrix.npy", np.arange(6, dtype=np.float32).reshape(2, 3) / 7)
    np.save(out / "written-vector.npy", np.arange(3) / 3)
    np.save(out / "written-cube.npy", np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    np.save(out / "written-scalar.npy", np.int32(-7))
    np.save(out / "written-empty.npy", np.zeros((0, 4), np.int64))
    np.save(out / "refused-objects.npy", np.array([{"a": 1}, None], object), allow_pickle=True)
    np.save(out / "refused-fields.npy", np.zeros(2, [("x", "<f4"), ("y", "<i4")]))
    np.save(out / "refused-text.npy", np.array(["lung", "heart"]))
    np.save(out / "refused-complex.npy", np.zeros(2, np.complex64))
    np.save(out / "refused-time.npy", np.zeros(2, "datetime64[s]"))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
