"""The network as other programs take it: state dict, TorchScript, exported program, ONNX, channels last."""

import io

import numpy as np
import pytest
import torch

from monai_attn import AttentionUNet
from monai_attn.inference.backends.onnxruntime import library
from tests.networks.small_unets import SMALL, build_unet, each_variant, random_image


@each_variant
def test_a_state_dict_makes_the_same_network(spatial_dims, gate, deep_supervision):
    net, x = build_unet(spatial_dims, gate, deep_supervision), random_image(spatial_dims)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    torch.manual_seed(9)
    settings = {**SMALL, "gate": gate, "deep_supervision": deep_supervision}
    other = AttentionUNet(spatial_dims, 1, 3, **settings).eval()
    assert not torch.equal(other(x), net(x))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), net(x))


@each_variant
def test_torchscript_agrees_at_other_sizes(spatial_dims, gate, deep_supervision):
    net = build_unet(spatial_dims, gate, deep_supervision)
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(net), file)
    file.seek(0)
    scripted = torch.jit.load(file)
    for x in (random_image(spatial_dims), random_image(spatial_dims, 1, (9, 8, 7))):
        torch.testing.assert_close(scripted(x), net(x), atol=1e-4, rtol=0)


@each_variant
def test_torch_export_has_a_dynamic_batch_and_size(spatial_dims, gate, deep_supervision):
    net = build_unet(spatial_dims, gate, deep_supervision)
    exported = torch.export.export(
        net, (random_image(spatial_dims),), dynamic_shapes=(dynamic(spatial_dims),)
    ).module()
    x = random_image(spatial_dims, 3, (33, 24, 19))
    torch.testing.assert_close(exported(x), net(x), atol=1e-4, rtol=0)


@each_variant
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)  # of the exporter
def test_onnx_agrees_through_onnxruntime(spatial_dims, gate, deep_supervision):
    pytest.importorskip("onnxruntime")
    onnxruntime = library()  # without its telemetry
    net = build_unet(spatial_dims, gate, deep_supervision)
    program = torch.onnx.export(
        net,
        (random_image(spatial_dims),),
        dynamo=True,
        opset_version=18,
        dynamic_shapes=(dynamic(spatial_dims),),
        verbose=False,
    )
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = random_image(spatial_dims, 3, (33, 24, 19))
    (logits,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(logits, net(x).detach().numpy(), atol=1e-4)


@each_variant
def test_channels_last_agrees(spatial_dims, gate, deep_supervision):
    net, x = build_unet(spatial_dims, gate, deep_supervision), random_image(spatial_dims)
    expected = net(x)
    layout = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
    logits = net.to(memory_format=layout)(x.to(memory_format=layout))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def dynamic(spatial_dims):
    return dict.fromkeys((0, *range(2, 2 + spatial_dims)), torch.export.Dim.AUTO)
