"""NIfTI files: the header, checked field by field, and the voxels, read to the end of the file."""
