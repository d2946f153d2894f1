#!/usr/bin/env bash
# bash scripts/evaluation/mme_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" mme mme 665k "$@"
