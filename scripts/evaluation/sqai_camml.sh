#!/usr/bin/env bash
# The original's name of sqa_camml.sh: bash scripts/evaluation/sqai_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" sqai scienceqa 665k "$@"
