#!/usr/bin/env bash
# camml train on several nodes of a SLURM cluster: torchrun once a node, one process a GPU.
#   sbatch --nodes 4 scripts/launch_slurm.sh configs/camml_7b.yaml --output_dir s3://bucket/runs/camml-7b
# A job that is requeued (preemption, a failed node) goes on from its newest checkpoint.
#SBATCH --job-name=camml
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --output=camml-%j.log
set -euo pipefail

export MASTER_ADDR=${MASTER_ADDR:-$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)}
export MASTER_PORT=${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 20000))}
export GPUS_PER_NODE=${GPUS_PER_NODE:-${SLURM_GPUS_ON_NODE:-8}}
export NNODES=$SLURM_JOB_NUM_NODES
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-8}

# --kill-on-bad-exit: when one node is gone the others would wait for it until their time runs out
srun --kill-on-bad-exit=1 bash -c 'NODE_RANK=$SLURM_NODEID exec bash "$0" "$@"' \
    "${SLURM_SUBMIT_DIR:-.}/scripts/launch_torchrun.sh" "$@"
