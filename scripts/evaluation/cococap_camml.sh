#!/usr/bin/env bash
# bash scripts/evaluation/cococap_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" cococap coco_caption 665k "$@"
