# What the four training scripts do: check, compute the neighbors once, train under torchrun. Started again, a run that
# was interrupted goes on.
#
#     . scripts/train_published.sh RECIPE RUN sqa|665k [--flag value ...]
#
# RECIPE is a file in configs/, RUN the folder in checkpoints/. The flags behind it are those in which the published
# commands differ from the recipe (float16 instead of bfloat16), then those that the caller gave. What these say about
# data, pictures and neighbors holds for both steps.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/published.sh

recipe=configs/$1.yaml
run=$2
INDEX=${INDEX:-$(published_pair ./data "$3")}
shift 3

# value NAME [--flag value ...]: what the last of the flags says that is called NAME, or else the recipe.
value() {
    local name=$1 result word
    result=$(sed -n "s/^$name: //p" "$recipe")
    while shift && [ $# -gt 0 ]; do
        word=${1%%=*}
        [ "${word//-/_}" = "__$name" ] || continue
        case $1 in
        *=*) result=${1#*=} ;;
        *) result=${2-} ;;
        esac
    done
    echo "$result"
}
export GPUS_PER_NODE=${GPUS_PER_NODE:-8}
NEIGHBORS=$(value neighbors ${NEIGHBORS:+--neighbors "$NEIGHBORS"} "$@")
STORE_IMAGES=$(value store_images ${STORE_IMAGES:+--store_images "$STORE_IMAGES"} "$@")

flags=(
    "$recipe"
    --neighbors "$NEIGHBORS"
    --output_dir "./checkpoints/$run"
    --bf16 False
    --fp16 True
    --tf32 False
    --per_device_eval_batch_size 1
    "$@"
)

python -m camml train "${flags[@]}" --check True

[ -f "$NEIGHBORS/manifest.json" ] ||
    python -m camml neighbors "$(value data_path "$@")" "$INDEX" "$NEIGHBORS" --images "$(value image_folder "$@")" \
        --mode text-image --k 10 ${STORE_IMAGES:+--store-images "$STORE_IMAGES"} ${NEIGHBORS_ARGUMENTS:-}

torchrun --nproc_per_node="$GPUS_PER_NODE" --master_port="${MASTER_PORT:-$((RANDOM % 20000 + 20000))}" \
    ${TORCHRUN_ARGUMENTS:-} -m camml train "${flags[@]}"
