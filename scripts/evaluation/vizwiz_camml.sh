#!/usr/bin/env bash
# bash scripts/evaluation/vizwiz_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" vizwiz vizwiz 665k "$@"
