from .process_info import ProcessInfo, read_process_info
from .work_queue import WorkQueue, join_queue

__all__ = ["ProcessInfo", "WorkQueue", "join_queue", "read_process_info"]
