#!/usr/bin/env bash
# The original's name of flickr30k_camml.sh: bash scripts/evaluation/flickr30kcap_camml.sh MODEL [SHOTS]; see run_task.sh
exec bash "$(dirname "$0")/run_task.sh" flickr30kcap flickr30k_caption 665k "$@"
