"""DICOM files of every kind, and what must be seen of them, for internal/dicom/testdata.

Each NAME.dcm is written by pydicom; cases.npz holds under NAME what the rules of
MedSigLIP's serving container (Google-Health/medsiglip, generic_dicom_handler.py),
restated here with numpy and pydicom, make of its first frame, or of frame N
(from 0) under NAME:N. With a folder of real files, samples.npz holds the same
for those.

    python3 tools/reference/dicom.py internal/dicom/testdata ../shared/data/dicom
"""
import pathlib
import sys

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers.util import apply_color_lut, apply_modality_lut, convert_color_space
from pydicom.sequence import Sequence
from pydicom.uid import (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian,
                         ImplicitVRLittleEndian, RLELossless)

PHOTO = {"GM", "SM", "XC"}


def window(a, center, width):
    half = width // 2
    low, high = center - half, center + half
    return np.round(np.interp(a.clip(low, high), (low, high), (0, 65535)), 0).astype(np.uint16)


def stretch(a):
    if a.dtype == np.uint8:
        return a
    if a.dtype.kind == "i":
        wide = a.astype(np.int64)
        a = (wide - wide.min()).astype({1: np.uint8, 2: np.uint16}[a.dtype.itemsize])
    top = np.iinfo(a.dtype).max
    return np.interp(a, (a.min(), a.max()), (0, top)).astype(a.dtype)


def first(v):
    return float(v[0] if isinstance(v, pydicom.multival.MultiValue) else v)


def shown(ds, frame=0, voi=None, scale=None):
    """One frame as it is shown. voi and scale stand for functional groups."""
    a = ds.pixel_array
    if int(ds.get("NumberOfFrames", 1) or 1) > 1:
        a = a[frame]
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        a = apply_color_lut(a, ds)
        return to8(a) if a.dtype == np.uint16 else a
    if ds.SamplesPerPixel == 3:
        if ds.PhotometricInterpretation.startswith("YBR_FULL"):
            a = convert_color_space(a, "YBR_FULL", "RGB")
        return to8(a) if a.dtype == np.uint16 else a
    if ds.Modality in PHOTO:
        return a
    if voi is None and "WindowCenter" in ds and "WindowWidth" in ds:
        voi = first(ds.WindowCenter), first(ds.WindowWidth)
    if scale:
        values = a.astype(np.float64) * scale[0] + scale[1]
    elif ds.Modality == "CT":
        values = a
        if "RescaleSlope" in ds:
            values = a.astype(np.float64) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    else:
        values = apply_modality_lut(a, ds)
    if ds.Modality == "CT":
        values = window(values, *(voi or (100, 2500)))
    else:
        if voi:
            values = window(values, *voi)
        if values.dtype == np.float64:
            values = values.astype(a.dtype)
        values = stretch(values)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        values = np.iinfo(values.dtype).max - values
    return values


def to8(a):
    return ((a.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def new(syntax, **tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "2.25.7"
    meta.TransferSyntaxUID = syntax
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian = syntax != ExplicitVRBigEndian
    ds.is_implicit_VR = syntax == ImplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, "2.25.7"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.5", "2.25.6"
    ds.PatientID, ds.PatientName, ds.Modality = "case-7", "Nobody^Nowhere", "CR"
    for key, value in tags.items():
        setattr(ds, key, value)
    return ds


def pixels(ds, a, stored=None, photometric="MONOCHROME2", planar=0):
    ds.BitsAllocated = 8 * a.dtype.itemsize
    ds.BitsStored = stored or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(a.dtype.kind == "i")
    ds.PhotometricInterpretation = photometric
    color = photometric in ("RGB", "YBR_FULL")
    ds.SamplesPerPixel = 3 if color else 1
    frames = a.ndim == (4 if color else 3)
    if frames:
        ds.NumberOfFrames = len(a)
    ds.Rows, ds.Columns = a.shape[frames:frames + 2]
    if color:
        ds.PlanarConfiguration = planar
        if planar:
            a = np.moveaxis(a, -1, frames)
    if not ds.is_little_endian and a.dtype.itemsize == 2:
        a = a.astype(a.dtype.newbyteorder(">"))
    data = a.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if ds.BitsAllocated == 16 else "OB"
    return ds


def table(first, bits, entries):
    item = Dataset()
    item.add_new(0x00283002, "US", [len(entries), first, bits])
    item.add_new(0x00283006, "OW", np.asarray(entries, "<u2").tobytes())
    return Sequence([item])


def cases():
    r = np.random.default_rng(5)
    twelve = r.integers(300, 3900, (13, 11)).astype(np.uint16)
    signed = r.integers(-900, 2100, (13, 11)).astype(np.int16)
    byte = r.integers(20, 240, (13, 11)).astype(np.uint8)
    color = r.integers(0, 256, (13, 11, 3)).astype(np.uint8)
    ct = dict(Modality="CT", RescaleSlope=1.5, RescaleIntercept=-1024)
    e = ExplicitVRLittleEndian
    yield "cr12", pixels(new(e), twelve, 12)
    yield "cr12_window", pixels(new(e, WindowCenter=2000, WindowWidth=1501), twelve, 12)
    yield "cr12_narrow", pixels(new(e, WindowCenter=[4000, 10], WindowWidth=[1000, 10]), twelve, 12)
    yield "cr12_inverse", pixels(new(ImplicitVRLittleEndian), twelve, 12, "MONOCHROME1")
    yield "cr12_rescale", pixels(new(e, RescaleSlope=0.37, RescaleIntercept=11), twelve, 12)
    yield "cr8", pixels(new(e), byte)
    yield "cr8_inverse_window", pixels(new(e, WindowCenter=100, WindowWidth=90), byte, None, "MONOCHROME1")
    yield "dx_signed", pixels(new(e, Modality="DX"), signed, 13)
    yield "dx_signed_big", pixels(new(ExplicitVRBigEndian, Modality="DX"), signed)
    yield "dx_signed8", pixels(new(e, Modality="DX"), (byte.astype(int) - 128).astype(np.int8))
    yield "cr_table", pixels(new(e, ModalityLUTSequence=table(500, 16, r.integers(0, 60000, 3000))), twelve, 12)
    yield "cr_flat", pixels(new(e), np.full((4, 5), 77, np.uint16))
    yield "ct", pixels(new(e, **ct), signed + 1024)
    yield "ct_window", pixels(new(DeflatedExplicitVRLittleEndian, WindowCenter=40.5, WindowWidth=401, **ct), signed + 1024)
    yield "ct_plain", pixels(new(e, Modality="CT"), signed, None, "MONOCHROME1")
    yield "mr_frames", pixels(new(e, Modality="MR"), np.stack([twelve, twelve[::-1] + 5, twelve // 2]), 12)
    yield "xc_rgb", pixels(new(e, Modality="XC"), color, None, "RGB")
    yield "xc_planar", pixels(new(e, Modality="XC"), color, None, "RGB", 1)
    yield "xc_ybr", pixels(new(e, Modality="XC"), color, None, "YBR_FULL")
    yield "xc_rgb16", pixels(new(e, Modality="XC"), color.astype(np.uint16) * 257 + 3, None, "RGB")
    yield "gm_grey16", pixels(new(e, Modality="GM"), twelve)
    for bits in 8, 16:
        ds = pixels(new(e, Modality="US"), byte, None, "PALETTE COLOR")
        for k, name in enumerate(("Red", "Green", "Blue")):
            entries = r.integers(0, 1 << bits, 200).astype(np.uint16)
            ds.add_new(0x00281101 + k, "US", [200, 30, bits])
            data = entries.astype(np.uint8) if bits == 8 else entries
            ds.add_new(0x00281201 + k, "OW", data.tobytes())
        yield f"us_palette{bits}", ds
    for name, a, kind in ("rle12", twelve, "MONOCHROME2"), ("rle_rgb", color, "RGB"), ("rle_rgb16", color.astype(np.uint16) * 250, "RGB"):
        ds = pixels(new(e), a, None, kind)
        ds.compress(RLELossless)
        yield name, ds
    two = pixels(new(e), np.stack([byte, 255 - byte]))
    two.compress(RLELossless)
    yield "rle_frames", two
    yield "enhanced", enhanced(new(e, Modality="CT"), signed)


def enhanced(ds, a):
    """Two frames with a rescale of their own and a window for both."""
    def group(keyword, **tags):
        inner = Dataset()
        for key, value in tags.items():
            setattr(inner, key, value)
        outer = Dataset()
        setattr(outer, keyword, Sequence([inner]))
        return outer
    ds.SharedFunctionalGroupsSequence = Sequence([group("FrameVOILUTSequence", WindowCenter=300, WindowWidth=1200)])
    ds.PerFrameFunctionalGroupsSequence = Sequence([
        group("PixelValueTransformationSequence", RescaleSlope=s, RescaleIntercept=i) for s, i in ((1, 0), (2, -50))])
    ds["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    return pixels(ds, np.stack([a, a]))


def main(out, real=None):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    seen = {}
    for name, ds in cases():
        ds.save_as(out / f"{name}.dcm", write_like_original=False)
        ds = pydicom.dcmread(out / f"{name}.dcm")
        for frame in range(int(ds.get("NumberOfFrames", 1) or 1)):
            extra = dict(voi=(300, 1200), scale=((1, 0), (2, -50))[frame]) if name == "enhanced" else {}
            seen[name + (f":{frame}" if frame else "")] = shown(ds, frame, **extra)
    np.savez_compressed(out / "cases.npz", **seen)
    if real:
        samples = {}
        for path in sorted(pathlib.Path(real).glob("*.dcm")):
            try:
                ds = pydicom.dcmread(path)
                if ds.BitsAllocated == 1:
                    continue  # a segmentation
                frame = 3 if path.stem == "examples_ybr_color" else 0
                samples[path.stem + (f":{frame}" if frame else "")] = shown(ds, frame)
                if path.stem == "SC_rgb_rle_16bit_2frame":
                    samples[path.stem + ":1"] = shown(ds, 1)
            except Exception as why:
                print(f"{path.name}: {type(why).__name__}: {why}")
        np.savez_compressed(out / "samples.npz", **samples)
        print(len(seen), "cases,", len(samples), "samples")


if __name__ == "__main__":
    main(*sys.argv[1:])
