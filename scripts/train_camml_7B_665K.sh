#!/usr/bin/env bash
# LLaVA-665K, Vicuna-7B v1.5, one to three shots: configs/camml_7b.yaml, in the published commands' float16.
. "$(dirname "$0")/train_published.sh" camml_7b "${file:-camml_7b}" 665k "$@"
