"""Cases for tests of splits: pairs of names, and their empty files."""

from scans import touch


def numbered_cases(count):
    """Cases that are named by their numbers."""
    return [{"image": f"{i:02}.nii", "label": f"{i:02}_seg.nii"} for i in range(count)]


def images_of(part):
    """The images of a part of a split."""
    return [case["image"] for case in part]


def named_cases(*names):
    """Cases of these names."""
    return [{"image": f"{name}.nii", "label": f"{name}_seg.nii"} for name in names]


def touch_cases(folder, *names):
    """The empty files of cases of these names."""
    return touch(folder, *(f"{name}{end}.nii" for name in names for end in ("", "_seg")))
