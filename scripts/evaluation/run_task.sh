#!/usr/bin/env bash
# What all scripts here share: bash run_task.sh SCRIPT TASK SAMPLES MODEL [SHOTS] [SAMPLES [NAME]] [options of camml eval run]
#
# The model is a folder, or a name in $CHECKPOINTS (./checkpoints). The samples come from the published index that fits the
# task (sqa or 665k), or from $STORE, which may be a datastore; STORE=none answers without samples. Pictures of samples are
# found by themselves, or in $STORE_IMAGES. What is read lies in $DATA (./data). NAME is that of the runs (runs/eval/NAME).
# On several GPUs: GPUS_PER_NODE=8 bash vqav2_camml.sh camml_7b
set -euo pipefail
. "$(dirname "$0")/../published.sh"

script=$1 task=$2 samples=$3
shift 3
if [ $# -lt 1 ]; then
  echo "usage: bash scripts/evaluation/${script}_camml.sh MODEL [SHOTS] [665k|sqa [NAME]] [options of camml eval run]" >&2
  exit 2
fi
model=$1
shift
shots=3 named=()
if [[ ${1:-} =~ ^[0-9,]+$ ]]; then
  shots=$1
  shift
fi
if [ "${1:-}" = 665k ] || [ "${1:-}" = sqa ]; then # as the original's scripts take them
  samples=$1
  shift
  if [ $# -gt 0 ] && [[ $1 != -* ]]; then
    named=(--out "runs/eval/$1")
    shift
  fi
fi
data=${DATA:-./data}
questions=$data/eval
case $task in # ScienceQA's own folder serves training and evaluation
scienceqa_ft) [ ! -d "$data/scienceqa" ] || questions=$data ;;
scienceqa) [ -d "$data/eval/scienceqa" ] || [ ! -d "$data/scienceqa" ] || questions=$data ;;
esac
store=${STORE:-$(published_pair "$data" "$samples")}
[ -d "$model" ] || [ ! -d "${CHECKPOINTS:-./checkpoints}/$model" ] || model=${CHECKPOINTS:-./checkpoints}/$model
evidence=(--store "$store" --shots "$shots")
[ -z "${STORE_IMAGES:-}" ] || evidence+=(--store-images "$STORE_IMAGES")
[ "$store" != none ] || evidence=()
launch=(python -m camml)
if [ "${GPUS_PER_NODE:-1}" -gt 1 ]; then
  launch=(torchrun --nproc_per_node "$GPUS_PER_NODE" --master_port "${MASTER_PORT:-29500}" -m camml)
fi
exec "${launch[@]}" eval run "$task" --model "$model" --data "$questions" ${evidence[@]+"${evidence[@]}"} \
  ${named[@]+"${named[@]}"} "$@"
