"""Weights of other gates than the network's are explained."""

import pytest
import torch

from monai_attn import AttentionUNet
from monai_attn.bundle.gate_mismatch import gate_mismatch
from monai_attn.inference.weights import load_weights

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("built", "saved", "said"),
    [
        (["0"], [], "lacks the weights of a gate at level 0, and the network is built with it"),
        ([], ["0"], "holds the weights of a gate at level 0, and the network is built without it"),
        (["0", "1"], ["1"], "lacks the weights of a gate at level 0, "),
        (["0", "2", "1"], [], "lacks the weights of a gate at levels 0, 1, 2, "),
        (["2"], ["0", "1"], "a gate at level 2 and holds the weights of a gate at levels 0, 1, "),
    ],
)
def test_weights_of_other_gates_are_one_line_that_names_levels_and_remedy(
    tmp_path, built, saved, said
):
    def network(levels):
        options = {"gated_levels": [*map(int, levels)]} if levels else {"gate": None}
        return AttentionUNet(2, 1, 2, channels=(4, 4, 4, 4), strides=(2, 2, 2), **options)

    path = tmp_path / "model.pt"
    torch.save(network(saved).state_dict(), path)
    with pytest.raises(ValueError, match=f"model.pt: .*{said}") as raised:
        load_weights(network(built), path, CPU, explain=gate_mismatch)
    assert "\n" not in str(raised.value)
    assert "network_def#gate" in str(raised.value)
    assert "another gate" in str(raised.value)


def test_weights_of_other_sizes_are_no_matter_of_gates(tmp_path):
    path = tmp_path / "model.pt"
    torch.save(AttentionUNet(2, 1, 2, channels=(4, 8), strides=(2,)).state_dict(), path)
    with pytest.raises(ValueError, match=r"model\.pt: does not fit the network \("):
        load_weights(
            AttentionUNet(2, 1, 2, channels=(4, 4), strides=(2,)), path, CPU, explain=gate_mismatch
        )


@pytest.mark.parametrize("state", [None, [torch.zeros(1)], {1: torch.zeros(1)}], ids=repr)
def test_what_is_no_state_of_such_a_network_is_not_compared(state):
    assert gate_mismatch(AttentionUNet(2, 1, 2), state) == ""
