#!/usr/bin/env bash
# bash scripts/evaluation/refcoco_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" refcoco refcoco 665k "$@"
