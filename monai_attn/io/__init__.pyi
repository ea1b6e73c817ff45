from .errors import ScanWarning
from .grid import Grid, same_grid
from .volume import Volume, read_grid, read_volume
from .writer import write_labels, write_map

__all__ = [
    "Grid",
    "ScanWarning",
    "Volume",
    "read_grid",
    "read_volume",
    "same_grid",
    "write_labels",
    "write_map",
]
