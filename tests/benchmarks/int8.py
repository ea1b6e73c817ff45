"""The time of one window of a bundle in int8, next to bfloat16 and float32, on one thread.

python -m tests.benchmarks.int8 BUNDLE [REPEATS]

The bundle was changed by `monai-attn quantize`. All run by turns, and the processor's time counts. oneDNN
takes an older instruction set from `ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI` or `AVX2`; the names of the
primitives show that it did. bfloat16 is left out then: OpenVINO still has it, without units for it.
"""

import os
import sys
import time
from collections import Counter
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from monai_attn.bundle import open_bundle
from monai_attn.bundle.int8 import INT8
from monai_attn.inference.backends import openvino
from monai_attn.inference.backends.eager import has_bfloat16
from monai_attn.inference.backends.parity import synthetic_window

ISA = "ONEDNN_MAX_CPU_ISA"


def models(bundle):
    """Each precision, and its model."""
    network = openvino.convert(bundle.network, bundle.window)
    yield "float32", network
    if has_bfloat16(torch.device("cpu")) and ISA not in os.environ:
        yield "bfloat16", network
    yield "int8", openvino.core().read_model(bundle.root / "models" / INT8)


def main():
    torch.set_num_threads(1)
    bundle = open_bundle(sys.argv[1], "cpu")
    repeats = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    x = synthetic_window(bundle.window).numpy()
    requests, kinds = {}, {}
    for precision, model in models(bundle):
        settings = openvino._settings(precision)
        compiled = openvino.core().compile_model(model, "CPU", settings)
        requests[precision] = compiled.create_infer_request()
        requests[precision].infer([x])
        facts = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
        kinds[precision] = Counter(
            fact["primitiveType"].astype(str)
            for fact in facts
            if fact["layerType"].astype(str) == "Convolution"
        )
    times = {precision: [] for precision in requests}
    for _ in range(repeats):
        for precision, request in requests.items():
            start = time.process_time()
            request.infer([x])
            times[precision].append(time.process_time() - start)
    table = Table("precision", "processor s", "against float32", "convolutions")
    for precision, each in times.items():
        ratio = median(times["float32"]) / median(each)
        names = ", ".join(f"{n} {kind}" for kind, n in kinds[precision].items())
        table.add_row(precision, f"{median(each):.3f}", f"{ratio:.2f}", names)
    Console(width=120).print(table)
    print(f"median of {repeats}, {ISA}={os.environ.get(ISA, '')}")


if __name__ == "__main__":
    main()
