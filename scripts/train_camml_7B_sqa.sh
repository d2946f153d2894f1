#!/usr/bin/env bash
# ScienceQA, Vicuna-7B v1.3, one shot: configs/camml_7b_sqa.yaml, in the published commands' float16.
. "$(dirname "$0")/train_published.sh" camml_7b_sqa "${file:-camml_7b_sqa_ft}" sqa "$@"
