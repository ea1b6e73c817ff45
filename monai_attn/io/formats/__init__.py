"""Scans in other formats that store their grid: NRRD, MetaImage and MGZ, and scans in a ZIP archive."""
