"""Sound files of every kind, spoilt at random, and what `read_volume` makes of them.

As a program, `mutants.py SEED COUNT FOLDER` reads so many in one process and prints what became of them
as JSON: nothing else is to appear.
"""

import gzip
import io
import json
import resource
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.io.affine import LARGEST, SMALLEST
from monai_attn.io.errors import ScanWarning
from monai_attn.io.scan import read_volume
from monai_attn.io.volume import Volume
from scans import AFFINE, VALUES, turned

NIFTI_2 = 540 & 255  # among the first four bytes of such a header: its size
SECONDS = 5  # for a file of a kilobyte, which takes a millisecond
EXTREMES = (0, 1, -1, 2, 3, 7, 8, 127, 255, 32767, -32768, 2**31 - 1, -(2**31), 2**63 - 1)
BROKEN = (np.nan, np.inf, -np.inf, 1e-45, 1e-30, 0.5, -0.5, 1e30, 3e38, -3e38, 1e300)
FIELDS = ("dim", "pixdim", "datatype", "bitpix", "vox_offset", "scl_slope", "scl_inter", "magic")
FORMS = ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_d")

Files = dict[str, bytes]


# --- sound files


def sound_files() -> list[Files]:
    """A few hundred bytes each; the names end in .gz where the bytes are still to be packed."""
    files = []
    for kind, pair in ((nib.Nifti1Image, nib.Nifti1Pair), (nib.Nifti2Image, nib.Nifti2Pair)):
        for order in "<>":
            files += [
                {"a.nii": _raw(kind, order, "i2")},
                {"a.nii.gz": _raw(kind, order, "f4", affine=turned())},
                {"a.nii.gz": _raw(kind, order, "i2", VALUES[..., None])},
                {"a.nii": _raw(kind, order, "f8", comment=b"made for a test")},
                _pair(pair, order, "u1"),
            ]
    several = np.stack([VALUES, VALUES + 1], axis=-1)
    return [*files, {"a.nii.gz": _raw(nib.Nifti1Image, "<", "i2", several)}]


def _image(kind, order, dtype, values=VALUES, affine=AFFINE):
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    return kind(values.astype(dtype), affine, header)


def _raw(kind, order, dtype, values=VALUES, affine=AFFINE, comment=b""):
    image = _image(kind, order, dtype, values, affine)
    if comment:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", comment))
    return image.to_bytes()


def _pair(kind, order, dtype):
    parts = {name: io.BytesIO() for name in ("header", "image")}
    files = {name: nib.FileHolder(fileobj=part) for name, part in parts.items()}
    _image(kind, order, dtype).to_file_map(files)
    return {"a.hdr": parts["header"].getvalue(), "a.img": parts["image"].getvalue()}


# --- what happens to them: each takes bytes that are not empty


def flip_bits(rng, raw, end=None):
    spoilt = bytearray(raw)
    for place in rng.integers(0, len(raw[:end]), rng.integers(1, 8)):
        spoilt[place] ^= 1 << rng.integers(8)
    return bytes(spoilt)


def flip_header_bits(rng, raw):
    return flip_bits(rng, raw, 352)


def replace_run(rng, raw):
    first, last = _span(rng, raw)
    filling = (rng.bytes(last - first), bytes(last - first), b"\xff" * (last - first))
    return raw[:first] + filling[rng.integers(3)] + raw[last:]


def cut(rng, raw):
    return raw[: rng.integers(len(raw))]


def remove(rng, raw):
    first, last = _span(rng, raw)
    return raw[:first] + raw[last:]


def repeat(rng, raw):
    first, last = _span(rng, raw)
    return raw[:last] + raw[first:last] * int(rng.integers(1, 4)) + raw[last:]


def splice(rng, raw):
    """What follows comes from another file."""
    others = [part for files in sound_once() for part in files.values() if part]
    other = others[rng.integers(len(others))]
    place = rng.integers(min(len(raw), len(other)))
    return raw[:place] + other[place:]


def set_field(rng, raw):
    """A header field that says something extreme."""
    kind = nib.Nifti2Header if NIFTI_2 in raw[:4] else nib.Nifti1Header
    if len(raw) < kind.sizeof_hdr:
        return raw
    dtype = kind.template_dtype
    if raw[0] == 0:
        dtype = dtype.newbyteorder(">")
    header = np.frombuffer(raw[: kind.sizeof_hdr], dtype).copy()
    names = (FIELDS, FORMS, dtype.names)[rng.integers(3)]
    field = header[names[rng.integers(len(names))]].reshape(-1)
    value = (EXTREMES, (*EXTREMES, *BROKEN))[field.dtype.kind == "f"]
    if field.dtype.kind in "iuf":
        with np.errstate(all="ignore"):
            chosen = np.array(value[rng.integers(len(value))])
            field[rng.integers(field.size)] = chosen.astype(field.dtype)
    else:
        field[:] = rng.bytes(field.dtype.itemsize)
    return header.tobytes() + raw[kind.sizeof_hdr :]


def inflate(rng, raw):
    """Dimensions that promise far more than there is."""
    for _ in range(rng.integers(1, 4)):
        raw = _with_dim(rng, raw)
    return raw


def _with_dim(rng, raw):
    order = "big" if raw[0] == 0 else "little"
    size, start = (8, 16) if NIFTI_2 in raw[:4] else (2, 40)
    place = start + size * int(rng.integers(0, 5))
    value = int(rng.choice([2, 5, 300, 2048, 32767])).to_bytes(size, order)
    return raw[:place] + value + raw[place + size :]


def _span(rng, raw):
    first = int(rng.integers(len(raw)))
    return first, min(len(raw), first + int(rng.choice([1, 2, 4, 16, 100])))


CHANGES = (
    flip_bits,
    flip_header_bits,
    replace_run,
    cut,
    remove,
    repeat,
    splice,
    set_field,
    set_field,
    inflate,
)


def sound_once(made=[]):  # noqa: B006 - made at the first call
    if not made:
        made += sound_files()
    return made


def mutant(rng) -> Files:
    """A sound file of any kind, changed once to three times, before it is packed or after."""
    files = sound_once()
    files = dict(files[rng.integers(len(files))])
    name = list(files)[rng.integers(len(files))]
    changes = [CHANGES[rng.integers(len(CHANGES))] for _ in range(rng.integers(1, 4))]
    packed, behind = name.endswith(".gz"), bool(rng.integers(2))
    if packed and behind:
        files[name] = gzip.compress(files[name], mtime=0)
    for change in changes:
        if files[name]:
            files[name] = change(rng, files[name])
    if packed and not behind:
        files[name] = gzip.compress(files[name], mtime=0)
    return files


# --- what becomes of them


class TooLongError(BaseException):
    """It is still reading."""


def fate(path: Path) -> str:
    """Read a file: "volume" or "refused", or what is wrong with how it ended."""
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("error")
            warnings.simplefilter("always", ScanWarning)
            volume = read_volume(path)
    except ValueError as error:
        return "refused" if _names(path, error) and "; " in str(error) else f"said {str(error)!r}"
    except BaseException as error:  # whatever else it is, is a fault
        return f"raised {error!r}"
    finally:
        signal.alarm(0)
    if not all(_names(path, doubt.message) for doubt in caught):
        return f"warned {[str(doubt.message) for doubt in caught]}"
    return "volume" if _is_sound(volume) else f"gave {volume}"


def _names(path, message):
    """Whether it is one line that begins with the file, or with the other of a pair."""
    text = str(message)
    beginnings = [f"{path.with_suffix(end)}: " for end in (path.suffix, ".hdr", ".img")]
    return text.isprintable() and text.startswith(tuple(beginnings))


def _is_sound(volume: Volume) -> bool:
    edges = np.linalg.norm(volume.affine[:3, :3], axis=0)
    return (
        volume.data.dtype == np.float32
        and volume.data.shape == volume.shape
        and bool(np.isfinite(volume.data).all())
        and volume.affine.shape == (4, 4)
        and bool(np.isfinite(np.linalg.inv(volume.affine)).all())
        and SMALLEST <= edges.min() <= edges.max() <= LARGEST
    )


def main(seed: int, count: int, folder: Path) -> None:
    """Read so many spoilt files, and print what became of them."""

    def stop(*_):
        raise TooLongError

    signal.signal(signal.SIGALRM, stop)
    fate(folder / "a.nii")  # what every reading needs is loaded before memory is looked at
    before, fates = peak_bytes(), Counter()
    for number in range(seed, seed + count):
        files = mutant(np.random.default_rng(number))
        write(folder, files)
        became = fate(folder / next(iter(files)))
        fates[became if became in ("volume", "refused") else f"{number}: {became}"] += 1
    print(json.dumps({"fates": fates, "growth": peak_bytes() - before}))


def write(folder, files):
    for name, raw in files.items():
        (folder / name).write_bytes(raw)


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
