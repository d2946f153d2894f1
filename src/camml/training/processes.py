"""The processes of one training, and sharding on CPUs, which accelerate sets up for GPUs only."""

import os

from torch import distributed

from camml.errors import OptionError


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
