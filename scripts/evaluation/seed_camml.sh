#!/usr/bin/env bash
# bash scripts/evaluation/seed_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" seed seed_bench 665k "$@"
