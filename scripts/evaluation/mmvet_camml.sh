#!/usr/bin/env bash
# bash scripts/evaluation/mmvet_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" mmvet mmvet 665k "$@"
