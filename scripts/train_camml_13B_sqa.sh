#!/usr/bin/env bash
# ScienceQA, Vicuna-13B v1.3, one to three shots: configs/camml_13b_sqa.yaml, in the published commands' float16.
. "$(dirname "$0")/train_published.sh" camml_13b_sqa "${file:-camml_13b_sqa_ft}" sqa "$@"
