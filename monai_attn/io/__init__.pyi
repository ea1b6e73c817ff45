from .errors import ScanWarning
from .grid import Grid, same_grid
from .scan import Scan, open_scan, read_grid, read_volume
from .volume import Volume
from .writer import write_labels, write_map

__all__ = [
    "Grid",
    "Scan",
    "ScanWarning",
    "Volume",
    "open_scan",
    "read_grid",
    "read_volume",
    "same_grid",
    "write_labels",
    "write_map",
]
