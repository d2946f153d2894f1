#!/usr/bin/env bash
# bash scripts/evaluation/sqa_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" sqa scienceqa 665k "$@"
