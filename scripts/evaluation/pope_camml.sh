#!/usr/bin/env bash
# bash scripts/evaluation/pope_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" pope pope 665k "$@"
