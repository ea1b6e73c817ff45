"""CT series in folders of DICOM files.

`files` tells which files are DICOM, without SimpleITK; `series` reads a series, with it. What `series`
does in turn is told by `headers`, `slices`, `stack` and `voxels`.
"""
