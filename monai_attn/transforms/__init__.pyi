from .checks import CheckKnownd, CheckLabeld, CheckScand
from .cleaning import CleanLabelsd
from .grids import LabelsOnScanGridd, NeighbourSlicesd, ResampleRASd
from .monai_io import LabelWriter, MapWriter, VolumeReader
from .pipelines import discretize, evaluation, postprocessing, preprocessing, training, validation
from .region_masks import metric_outputs

__all__ = [
    "CheckKnownd",
    "CheckLabeld",
    "CheckScand",
    "CleanLabelsd",
    "LabelWriter",
    "LabelsOnScanGridd",
    "MapWriter",
    "NeighbourSlicesd",
    "ResampleRASd",
    "VolumeReader",
    "discretize",
    "evaluation",
    "metric_outputs",
    "postprocessing",
    "preprocessing",
    "training",
    "validation",
]
