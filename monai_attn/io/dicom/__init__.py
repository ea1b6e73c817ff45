"""CT series in folders of DICOM files.

`files` finds the DICOM files, without SimpleITK; `series` reads a series, with SimpleITK. The steps of
`series` are in `headers`, `slices`, `stack` and `voxels`.
"""
