"""Figures that pages state: the cost of networks and of gates, and sizes of exports."""

import re

import pytest
import torch
from monai.networks.nets import AttentionUnet
from torch.utils.flop_counter import FlopCounterMode

from doc_pages import DOCS, rows, section
from monai_attn import AttentionUNet


def cost_table():
    return rows(section(DOCS / "concepts" / "architecture.md", "What the gates cost"))


@pytest.mark.parametrize("row", cost_table(), ids=lambda row: "-".join(row[:3]).replace(" ", ""))
def test_the_cost_table_is_the_networks(row):
    name, image, gates, parameters, multiply_adds = row
    size = [int(n) for n in re.findall(r"\d+", image)]
    with torch.device("meta"):  # counts without computing
        if name == "AttentionUNet":
            net = AttentionUNet(len(size), 1, 2, gate={"none": None, "soft": "soft"}[gates])
        else:
            net = AttentionUnet(len(size), 1, 2, (16, 32, 64, 128, 256), (2, 2, 2, 2))
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            net.eval()(torch.zeros(1, 1, *size))
    assert int(parameters.replace(",", "")) == sum(p.numel() for p in net.parameters())
    assert int(multiply_adds.replace(",", "")) == counter.get_total_flops() // 2


def test_the_share_of_the_gates_is_that_of_the_table_and_below_three_percent():
    counts = {
        (len(re.findall(r"\d+", image)), gates): int(multiply_adds.replace(",", ""))
        for _, image, gates, _, multiply_adds in cost_table()
    }
    text = section(DOCS / "concepts" / "architecture.md", "What the gates cost")
    for dims, digits in ((2, 1), (3, 2)):
        share = 100 * (counts[dims, "soft"] / counts[dims, "none"] - 1)
        assert 0 < share < 3
        said = re.search(rf"([\d.]+) %[^.%]*in {dims}D", text)
        assert said
        assert said[1] == f"{share:.{digits}f}"


@pytest.mark.parametrize(("gate", "words"), [("soft", "with gates"), (None, "without")])
def test_an_exported_program_takes_the_sizes_the_page_says(gate, words):
    text = " ".join((DOCS / "concepts" / "architecture.md").read_text(encoding="utf-8").split())
    said = re.search(rf"at least (\d+) (?:voxels )?{words}", text)
    assert said
    limit = int(said[1])
    net = AttentionUNet(2, 1, 2, channels=(2, 2, 4, 4, 4), gate=gate).eval()
    axes = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    program = torch.export.export(net, (torch.rand(2, 1, 40, 33),), dynamic_shapes=(axes,)).module()
    assert program(torch.rand(1, 1, limit, limit)).shape == (1, 2, limit, limit)
    with pytest.raises(AssertionError, match="Guard failed"):
        program(torch.rand(1, 1, limit - 1, limit - 1))
