#!/usr/bin/env bash
# camml train on this node, one of NNODES; run it on each, with NODE_RANK from 0 and MASTER_ADDR the first one's name.
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=node-a scripts/launch_torchrun.sh configs/camml_7b.yaml
#   NNODES=2 NODE_RANK=1 MASTER_ADDR=node-a scripts/launch_torchrun.sh configs/camml_7b.yaml
set -euo pipefail

NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ "$NNODES" -gt 1 ] && [ -z "${MASTER_ADDR:-}" ]; then
    echo "launch_torchrun.sh: set MASTER_ADDR to the name or address of the node with NODE_RANK=0" >&2
    exit 2
fi
if [ "$#" -eq 0 ]; then
    echo "launch_torchrun.sh: give what camml train takes, such as configs/camml_7b.yaml" >&2
    exit 2
fi

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="$NNODES" --node_rank="$NODE_RANK" --nproc_per_node="$GPUS_PER_NODE" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${MASTER_PORT:-29500}" \
    -m camml train "$@"
