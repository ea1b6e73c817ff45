"""Segment a TorchIO subject with a bundle, and the same scan with a simulated artefact.

python segment.py scan.nii.gz labels.nii.gz labels_of_the_noisy_scan.nii.gz [BUNDLE]
"""

import sys

import torchio as tio

import monai_attn

if __name__ == "__main__":
    scan, output, noisy_output, *bundle = sys.argv[1:]
    model = monai_attn.load(*bundle, mode="full")
    subject = tio.Subject(ct=tio.ScalarImage(scan))
    noisy = tio.Noise(mean=0, std=15, seed=0)(subject)
    for given, file in ((subject, output), (noisy, noisy_output)):
        result = model.segment((given.ct.numpy()[0], given.ct.affine), name="ct")
        labels = tio.LabelMap(tensor=result.labels[None], affine=result.affine)
        given.add_image(labels, "labels")
        given.labels.save(file)
        print(result.volumes_ml)
