"""Open a bundle without data, and train it in this process on weights that it returned.

python bundle_in_python.py BUNDLE DATA WINDOW
"""

import json
import sys
from pathlib import Path

import torch
from monai.bundle import create_workflow, load
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject

root, data, window = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
weights = torch.load(root / "models" / "model.pt", weights_only=True)
for kind in ("inference", "train"):
    network = load(root.name, bundle_dir=root.parent, workflow_type=kind, device="cpu")
    assert set(network.state_dict()) == set(weights), kind
    workflow = create_workflow(
        config_file=str(root / "configs" / f"{kind}.json"),
        workflow_type=kind,
        bundle_root=str(root),
    )
    try:
        workflow.run()
        raise AssertionError("a run without data")
    except RuntimeError as error:
        causes: list[str] = []
        cause: BaseException | None = error
        while cause:
            causes.append(str(cause))
            cause = cause.__cause__
        assert any("/workspace/data/" in text and "dataset_dir" in text for text in causes), causes

settings = {
    **{
        "dataset_dir": data,
        "roi_size": window,
        "num_samples": 1,
        "batch_size": 1,
        "val_interval": 1,
    },
    **{"num_workers": 0, "pretrained": str(root / "models" / "model.pt")},
}
client = MonaiAlgo(
    bundle_root=str(root),
    local_epochs=1,
    send_weight_diff=False,
    config_evaluate_filename="configs/train.json",
    train_kwargs=settings,
    eval_kwargs=settings,
)
client.initialize(extra={})
before = client.get_weights()
kept = {name: value.clone() for name, value in before.weights.items()}
client.train(ExchangeObject(weights=before.weights))
after = client.get_weights()
assert all(torch.equal(value, before.weights[name]) for name, value in kept.items()), "changed"
assert any(not torch.equal(value, after.weights[name]) for name, value in kept.items()), "untrained"
client.finalize()
print("all hold")
