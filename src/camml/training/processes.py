"""The processes of one training, and sharding on CPUs, which accelerate sets up for GPUs only."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from torch import distributed

from camml.errors import OptionError

PATIENCE = timedelta(days=30)
"""The longest time that processes of a training wait for work that one of them does for all."""


def launched() -> bool:
    """Return whether this is one of several processes that torchrun started."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def joined() -> bool:
    """Return whether this process can talk to the others of a training."""
    return bool(distributed.is_available() and distributed.is_initialized())


def wait_for_all() -> None:
    """Wait until every process of a training is here; return at once where there is one."""
    if joined():
        distributed.barrier()


@contextmanager
def first_before_others(first: bool) -> Iterator[None]:
    """Let the first process be done before the others begin, and all wait for the last one, however long it takes.

    transformers' `main_process_first` waits in the group that trains, and so no longer than half an hour, or
    --ddp_timeout on GPUs.

    Args:
      first: this is the first process.
    """
    if not joined():
        yield
        return
    group = distributed.new_group(backend="gloo", timeout=PATIENCE)
    if not first:
        distributed.barrier(group)
    try:
        yield
    finally:
        if first:
            distributed.barrier(group)
    distributed.barrier(group)  # machines with disks of their own each do the same


def join_on_cpu(kind: str) -> dict[str, bool]:
    """Join the other processes over gloo; return an `accelerator_config` that takes this as it is.

    accelerate knows several CPU processes as data-parallel ones only and would leave a request to shard unheard.

    Args:
      kind: "deepspeed" or "fsdp".

    Raises:
      OptionError: there is one process only, which has nothing to shard.
    """
    if not launched():
        raise OptionError(
            f"--{kind} without a GPU shards over several processes, and this is one: start it with "
            "torchrun --nproc_per_node=N -m camml train ..."
        )
    from accelerate import DistributedType, PartialState
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    if kind == "deepspeed":
        os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
        PartialState(cpu=False, backend="gloo")
    else:
        PartialState(cpu=True)
        # of the kinds that may be sharded, one that asks nothing of a device
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    return {"use_configured_state": True}
