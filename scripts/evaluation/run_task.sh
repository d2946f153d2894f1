#!/usr/bin/env bash
# What all scripts here share: bash run_task.sh SCRIPT TASK INDEX JSON PICTURES MODEL [SHOTS] [more options of `camml eval run`]
#
# The model is a folder, or a name in $CHECKPOINTS (./checkpoints). The samples come from the published index in $DATA
# (./data) that fits the task, or from $STORE, which may be a datastore; STORE=none answers without samples.
# On several GPUs: GPUS_PER_NODE=8 bash vqav2_camml.sh camml_7b
set -euo pipefail

script=$1 task=$2 index=$3 memory=$4 pictures=$5
shift 5
if [ $# -lt 1 ]; then
  echo "usage: bash scripts/evaluation/${script}_camml.sh MODEL [SHOTS] [options of camml eval run]" >&2
  exit 2
fi
model=$1
shift
shots=3
if [[ ${1:-} =~ ^[0-9,]+$ ]]; then
  shots=$1
  shift
fi
data=${DATA:-./data}
store=${STORE:-$data/$index:$data/$memory}
[ -d "$model" ] || [ ! -d "${CHECKPOINTS:-./checkpoints}/$model" ] || model=${CHECKPOINTS:-./checkpoints}/$model
evidence=(--store "$store" --shots "$shots")
[ -n "${STORE:-}" ] || evidence+=(--store-images "$data/$pictures")
[ "$store" != none ] || evidence=()
launch=(python -m camml)
if [ "${GPUS_PER_NODE:-1}" -gt 1 ]; then
  launch=(torchrun --nproc_per_node "$GPUS_PER_NODE" --master_port "${MASTER_PORT:-29500}" -m camml)
fi
exec "${launch[@]}" eval run "$task" --model "$model" --data "$data/eval" ${evidence[@]+"${evidence[@]}"} "$@"
