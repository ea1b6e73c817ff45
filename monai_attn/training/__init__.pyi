from .annealing import AnnealTemperature
from .batch_sharing import batch_share, synchronized
from .calibration import calibrate
from .case_cache import CachedCases
from .checkpoints import Checkpoints
from .early_stop import EarlyStop
from .gate_watch import GateWatch
from .gradient_limit import GradientLimit
from .hard_attention_loss import HardAttentionLoss
from .history import History
from .masked_loss import MaskedDiceCELoss
from .own_state import own_state
from .pretrained import load_pretrained
from .progress import ProgressBar
from .rank_samplers import evaluation_sampler, validation_sampler
from .region_loss import RegionDiceBCELoss
from .run import prepare, train_run
from .schedule import PolynomialDecay, WarmupCosine
from .seeding import EpochSeed
from .shared_handler import SharedHandler
from .validation_pictures import ValidationPictures
from .weight_average import WeightAverage

__all__ = [
    "AnnealTemperature",
    "CachedCases",
    "Checkpoints",
    "EarlyStop",
    "EpochSeed",
    "GateWatch",
    "GradientLimit",
    "HardAttentionLoss",
    "History",
    "MaskedDiceCELoss",
    "PolynomialDecay",
    "ProgressBar",
    "RegionDiceBCELoss",
    "SharedHandler",
    "ValidationPictures",
    "WarmupCosine",
    "WeightAverage",
    "batch_share",
    "calibrate",
    "evaluation_sampler",
    "load_pretrained",
    "own_state",
    "prepare",
    "synchronized",
    "train_run",
    "validation_sampler",
]
