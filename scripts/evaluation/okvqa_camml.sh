#!/usr/bin/env bash
# bash scripts/evaluation/okvqa_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" okvqa okvqa 665k "$@"
