"""Write phantoms of two sites, whose scanners differ by a shift in HU, and held-out phantoms of both.

python federated_data.py FOLDER
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_attn.phantom import write_phantoms

SHIFTS = {"site-1": 80, "site-2": -60}  # HU of all tissue, not of air
SHAPE, SPACING = (112, 112, 32), (2.0, 2.0, 3.0)


def write(folder: Path, count: int, seed: int, shift: int) -> None:
    """Write phantoms with shifted intensities."""
    write_phantoms(folder, count, seed=seed, shape=SHAPE, spacing=SPACING)
    for number in range(seed, seed + count):
        file = folder / "imagesTr" / f"phantom_{number:04d}.nii.gz"
        scan = nib.load(file)
        hu = np.asarray(scan.dataobj).astype(np.int16)
        nib.save(nib.Nifti1Image(np.where(hu > -200, hu + shift, hu), scan.affine), file)


root = Path(sys.argv[1])
for place, (name, shift) in enumerate(SHIFTS.items()):
    write(root / name, 3, 100 + 10 * place, shift)
    write(root / "held_out" / name, 2, 200 + 10 * place, shift)
