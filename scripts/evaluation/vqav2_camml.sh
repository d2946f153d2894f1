#!/usr/bin/env bash
# bash scripts/evaluation/vqav2_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" vqav2 vqav2 llava_665k_vision_flatIP.index llava_665k_memory_metadata.json llava/llava_665k "$@"
