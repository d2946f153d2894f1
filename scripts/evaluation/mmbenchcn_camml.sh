#!/usr/bin/env bash
# The original's name of mmbench_cn_camml.sh: bash scripts/evaluation/mmbenchcn_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" mmbenchcn mmbench_cn 665k "$@"
