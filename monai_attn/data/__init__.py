"""Volumes, cases and the phantom: how scans come in and label maps go out. No torch here."""
