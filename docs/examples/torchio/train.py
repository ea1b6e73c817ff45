"""Train an Attention U-Net on patches that TorchIO cuts, and segment a scan with TorchIO's sampler.

python train.py DATA EPOCHS labels.nii.gz

DATA has `imagesTr` and `labelsTr`; the last case is not trained on, and is the scan that is segmented.
"""

import sys
from pathlib import Path

import torch
import torchio as tio
from monai.losses import DiceCELoss

from monai_attn import AttentionUNet

PATCH = (32, 32, 16)
data, epochs, output = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)

subjects = [
    tio.Subject(ct=tio.ScalarImage(image), pancreas=tio.LabelMap(data / "labelsTr" / image.name))
    for image in sorted((data / "imagesTr").glob("*.nii.gz"))
]
grid = tio.Compose(
    [
        tio.ToCanonical(),
        tio.Clamp(0, 250),  # HU
        tio.RescaleIntensity((0, 1), in_min_max=(0, 250)),
        tio.CropOrPad(PATCH, only_pad=True),  # no axis is shorter than a patch
    ]
)
vary = tio.Compose([tio.RandomAffine(scales=0.1, degrees=5), tio.RandomNoise(std=(0, 0.05))])

network = AttentionUNet(3, in_channels=1, out_channels=2, channels=(8, 16, 32), strides=(2, 2))
optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
loss = DiceCELoss(to_onehot_y=True, softmax=True)
sampler = tio.LabelSampler(PATCH, "pancreas", label_probabilities={0: 1, 1: 1})
training = tio.SubjectsDataset(subjects[:-1], transform=tio.Compose([grid, vary]))
queue = tio.Queue(training, max_length=24, samples_per_volume=8, sampler=sampler)
loader = tio.SubjectsLoader(queue, batch_size=4)
for epoch in range(epochs):
    for batch in loader:
        found = loss(network(batch["ct"][tio.DATA]), batch["pancreas"][tio.DATA])
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {found.item():.3f}", flush=True)

scan = grid(subjects[-1])
windows = tio.GridSampler(scan, PATCH, patch_overlap=[n // 2 for n in PATCH])
stitched = tio.GridAggregator(windows, overlap_mode="hann")
with torch.inference_mode():
    for batch in tio.SubjectsLoader(windows, batch_size=4):
        stitched.add_batch(network.eval()(batch["ct"][tio.DATA]), batch[tio.LOCATION])
labels = stitched.get_output_tensor().argmax(dim=0, keepdim=True)
scan.add_image(tio.LabelMap(tensor=labels, affine=scan.ct.affine), "found")
back = tio.Resample(subjects[-1].ct)  # on the scan's own grid
back(scan.found).save(output)
