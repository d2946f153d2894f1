#!/usr/bin/env bash
# bash scripts/evaluation/sqa_ft_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" sqa_ft scienceqa_ft sqa "$@"
