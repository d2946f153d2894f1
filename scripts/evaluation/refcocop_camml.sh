#!/usr/bin/env bash
# bash scripts/evaluation/refcocop_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" refcocop refcocop 665k "$@"
