#!/usr/bin/env bash
# bash scripts/evaluation/flickr30k_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" flickr30k flickr30k_caption 665k "$@"
