#!/usr/bin/env bash
# bash scripts/evaluation/gqa_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" gqa gqa 665k "$@"
