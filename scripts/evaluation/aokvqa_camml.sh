#!/usr/bin/env bash
# bash scripts/evaluation/aokvqa_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" aokvqa aokvqa 665k "$@"
