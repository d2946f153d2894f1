#!/usr/bin/env bash
# Every measurement that needs a GPU, in parts of at most ten minutes each; results are JSON, tables and plots in OUT.
#
#   bash benchmarks/gpu.sh parts              # their names
#   bash benchmarks/gpu.sh decode             # one of them
#   bash benchmarks/gpu.sh all                # all of them, one after the other
#   QUICK=1 bash benchmarks/gpu.sh all        # tiny models, a few minutes on a CPU: does everything run?
#
# OUT (benchmarks/results/gpu) gets the results. A part that was cut off is simply run again; `mini` goes on from its
# newest checkpoint, so it is run until it says that it is finished.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-benchmarks/results/gpu}
python=${PYTHON:-python}
mkdir -p "$out"
if [ -n "${QUICK:-}" ]; then
  size="--size tiny" train="--size tiny" few="--repeats 2"
  embedding="--images 32 --repeats 2" questions="--questions 60 --repeats 1" sizes="--sizes 2000 --dim 64"
else
  size="--size 7b" train="--size full" few=""
  embedding="--images 8192" questions="--questions 2000" sizes="--sizes 624610"
fi

measure() { # NAME SCRIPT OPTIONS...
  local name=$1 script=$2
  shift 2
  echo "== $name"
  # shellcheck disable=SC2086
  timeout 590 "$python" "benchmarks/$script.py" "$@" --out "$out/$name.json" | tee "$out/$name.md"
}

part() {
  # shellcheck disable=SC2086
  case $1 in
    decode) measure decode decode $size $few ;;
    prefill) measure prefill prefill $size $few ;;
    context) measure context_cost context_cost $size $few ;;
    train_lora) measure train_lora train_step $train --case camml_7b:lora --rows 4 ;;
    train_qlora) measure train_qlora train_step $train --case camml_7b:qlora --rows 4 ;;
    train_full) measure train_full train_step $train --case camml_7b:full ;;
    embedding) measure embedding embedding $embedding ;;
    evaluation) measure evaluation evaluation $size $questions ;;
    stores) "$python" benchmarks/stores.py $sizes --stores faiss indexed bare --out "$out/stores" ;;
    mini) timeout 590 "$python" -m camml train configs/mini.yaml --per_device_train_batch_size 32 --max_steps 5000 ||
      echo "not finished; run this part again" ;;
    *) echo "no part $1; there are: ${parts[*]}" >&2 && exit 2 ;;
  esac
}

parts=(decode prefill context train_lora train_qlora train_full embedding evaluation stores mini)
case ${1:-parts} in
  parts) printf '%s\n' "${parts[@]}" ;;
  all) for name in "${parts[@]}"; do [ "$name" = mini ] && [ -n "${QUICK:-}" ] || part "$name"; done ;;
  *) part "$1" ;;
esac
