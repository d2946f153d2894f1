#!/usr/bin/env bash
# All measurements that need a GPU, in commands of at most ten minutes each. Results: JSON, tables and plots in OUT.
#
#   bash benchmarks/gpu.sh parts              # their names
#   bash benchmarks/gpu.sh first              # the four most telling, under ten minutes: decode, prefill, context, LoRA
#   bash benchmarks/gpu.sh second             # the next ones in about five minutes: the rest of decode, QLoRA
#   bash benchmarks/gpu.sh decode             # one of them
#   bash benchmarks/gpu.sh all                # all of them, one after the other
#   QUICK=1 bash benchmarks/gpu.sh all        # tiny models, a few minutes on a CPU: does everything run?
#
# OUT (benchmarks/results/gpu) gets the results, each as soon as it is there: a part that was cut off keeps what it has.
# `mini` goes on from its newest checkpoint, so it is run until it says that it is finished.
#
# Needs: Python 3.11 or later, torch 2.6 or later, transformers 5.16 to 5.19, numpy, Pillow. CaMML itself need not be
# installed. Weights are random; nothing is fetched. Besides:
#   decode (compiled)      triton and a C compiler, which come with torch for CUDA and with most systems
#   train_*                peft, accelerate, psutil; train_qlora also bitsandbytes
#   embedding, evaluation  pyarrow, faiss-cpu, filelock
#   stores                 as embedding
#   mini                   pip install '.[train]', and the data of docs/camml-mini.md
#   plots                  matplotlib; without it `python benchmarks/speed_plots.py RESULTS --out DIR` draws them elsewhere
# Where there is no network, put wheels into a folder and name it in WHEELS:
#   pip download -d wheels --no-deps --only-binary=:all: --python-version 3.12 --platform manylinux2014_x86_64 \
#     --platform manylinux_2_28_x86_64 --platform any peft accelerate psutil pyarrow faiss-cpu
#   WHEELS=wheels bash benchmarks/gpu.sh first
set -euo pipefail
cd "$(dirname "$0")/.."
out=${OUT:-benchmarks/results/gpu}
python=${PYTHON:-python}
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" TOKENIZERS_PARALLELISM=false
case ${1:-parts} in parts) ;; *) mkdir -p "$out" ;; esac
if [ -n "${WHEELS:-}" ] && [ ! -e "$out/.wheels" ]; then
  "$python" -m pip install -q --no-index --no-deps --find-links "$WHEELS" $(cd "$WHEELS" && printf '%s\n' *.whl | sed 's/-.*//')
  touch "$out/.wheels"
fi
if [ -n "${QUICK:-}" ]; then
  size="--size tiny" train="--size tiny --steps 2 --workers 1" few="--repeats 2" fewer="--repeats 2"
  embedding="--random tiny --images 16 --repeats 2" evaluation="--questions 24 --batch 8 --repeats 1"
  sizes="--sizes 2000 --dim 64" tokens="--new-tokens 8 --compile"
else
  size="--size 7b" train="--size full" few="" fewer="--repeats 3"
  embedding="--random large --images 4096 --repeats 3" evaluation="--questions 1500 --repeats 1"
  sizes="--sizes 624610" tokens=""
fi
limit=590    # seconds a part may take
deadline=0   # of all of them together; 0 for none

measure() { # NAME SCRIPT OPTIONS...
  local name=$1 script=$2 seconds=$limit
  shift 2
  if [ "$deadline" -gt 0 ]; then
    local left=$((deadline - SECONDS))
    [ "$left" -gt 20 ] || { echo "== $name: no time left"; return 0; }
    seconds=$((left < limit ? left : limit))
  fi
  echo "== $name (at most $seconds s)"
  local code=0
  timeout "$seconds" "$python" "benchmarks/$script.py" "$@" --out "$out/$name.json" | tee "$out/$name.md" || code=$?
  case $code in
    0) ;;
    124) echo "$name was cut off after $seconds s; what it had is in $out/$name.json" ;;
    *) echo "$name failed with $code" && failed=1 ;;
  esac
}

part() {
  # shellcheck disable=SC2086
  case $1 in
    decode) measure decode decode $size $few $tokens ;;
    decode_static) measure decode_static decode $size $fewer $tokens --ways static --batch 1 --batch 8 ;;
    decode_rest) measure decode_rest decode $size $fewer $tokens --ways static dynamic --batch 32 --batch 1 ;;
    prefill) measure prefill prefill $size $few ;;
    context) measure context_cost context_cost $size $fewer ;;
    train_lora) measure train_lora train_step $train --case camml_7b:lora --rows 4 ;;
    train_qlora) measure train_qlora train_step $train --case camml_7b:qlora --rows 4 ;;
    train_full) measure train_full train_step $train --case camml_7b:full ;;
    embedding) measure embedding embedding $embedding ;;
    evaluation) measure evaluation evaluation $size $evaluation ;;
    stores) timeout 590 "$python" benchmarks/stores.py $sizes --stores faiss indexed --out "$out/stores.json" ||
      failed=1 ;;
    mini) timeout 590 "$python" -m camml train configs/mini.yaml --per_device_train_batch_size 32 --max_steps 5000 ||
      echo "not finished; run this part again" ;;
    *) echo "no part $1; there are: first second ${parts[*]}" >&2 && exit 2 ;;
  esac
}

parts=(decode prefill context train_lora train_qlora train_full embedding evaluation stores mini)
failed=0
case ${1:-parts} in
  parts) printf '%s\n' "${parts[@]}" ;;
  first)
    deadline=$((SECONDS + ${LIMIT:-570})) limit=240
    for name in decode_static prefill context train_lora; do part "$name"; done ;;
  second)
    deadline=$((SECONDS + ${LIMIT:-300})) limit=170
    for name in decode_rest train_qlora; do part "$name"; done ;;
  all) for name in "${parts[@]}"; do [ "$name" = mini ] && [ -n "${QUICK:-}" ] || part "$name"; done ;;
  *) part "$1" ;;
esac
exit "$failed"
