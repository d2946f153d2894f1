#!/usr/bin/env bash
# bash scripts/evaluation/textvqa_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" textvqa textvqa 665k "$@"
