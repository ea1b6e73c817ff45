from .dask_cluster import WorkerDied, dask_client, run_on_workers
from .process_info import ProcessInfo, read_process_info
from .work_queue import WorkQueue, join_queue

__all__ = [
    "ProcessInfo",
    "WorkQueue",
    "WorkerDied",
    "dask_client",
    "join_queue",
    "read_process_info",
    "run_on_workers",
]
