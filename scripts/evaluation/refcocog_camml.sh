#!/usr/bin/env bash
# bash scripts/evaluation/refcocog_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" refcocog refcocog 665k "$@"
