"""A full disk is the error of the disk, whatever torch makes of it."""

import errno
import io

import pytest
import torch

from monai_attn.training.tensor_file import save_tensors


class FullDisk(io.BytesIO):
    """A file on a disk with room for some bytes."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


STATE = {"weight": torch.rand(1000), "epoch": 3}


@pytest.mark.parametrize("room", [0, 100, 1000, 4000])
def test_a_full_disk_raises_its_own_error(room):
    with pytest.raises(OSError, match="No space left on device"):
        save_tensors(STATE, FullDisk(room))


def test_what_is_written_is_what_torch_loads():
    file = io.BytesIO()
    save_tensors(STATE, file)
    file.seek(0)
    found = torch.load(file, weights_only=True)
    assert torch.equal(found["weight"], STATE["weight"])
    assert found["epoch"] == 3


def test_another_error_of_torch_stays():
    with pytest.raises((RuntimeError, AttributeError, TypeError)) as raised:
        save_tensors({"no tensor": lambda: None}, io.BytesIO())
    assert not isinstance(raised.value, OSError)
