#!/usr/bin/env bash
# bash scripts/evaluation/vqav2_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" vqav2 vqav2 665k "$@"
