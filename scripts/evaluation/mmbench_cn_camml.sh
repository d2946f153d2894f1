#!/usr/bin/env bash
# bash scripts/evaluation/mmbench_cn_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" mmbench_cn mmbench_cn 665k "$@"
