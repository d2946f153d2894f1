#!/usr/bin/env bash
# LLaVA-665K, Vicuna-13B v1.5, one to three shots: configs/camml_13b.yaml, in the published commands' float16.
. "$(dirname "$0")/train_published.sh" camml_13b "${file:-camml_13b}" 665k "$@"
