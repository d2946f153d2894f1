#!/usr/bin/env bash
# bash scripts/evaluation/refcocop_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" refcocop refcocop llava_665k_vision_flatIP.index llava_665k_memory_metadata.json llava/llava_665k "$@"
