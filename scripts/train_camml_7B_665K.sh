#!/usr/bin/env bash
# LLaVA-665K, Vicuna-7B v1.5, one to three shots.
# The checks come first, then the neighbors, which are computed once, then training; a run that was interrupted goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/published.sh

export GPUS_PER_NODE=${GPUS_PER_NODE:-8}
file=${file:-camml_7b}
INDEX=${INDEX:-$(published_pair ./data 665k)}
NEIGHBORS=${NEIGHBORS:-./data/neighbors/llava_665k}
DATA=./data/llava/llava_665k/llava_v1_5_mix665k.json
IMAGES=./data/llava/llava_665k/

flags=(
    --deepspeed "zero3.json"
    --model_name_or_path ./checkpoints/vicuna-7b-v1.5
    --version v1
    --data_path "$DATA"
    --image_folder "$IMAGES"
    --neighbors "$NEIGHBORS"
    --vision_tower ./checkpoints/clip-vit-large-patch14-336
    --pretrain_mm_mlp_adapter ./checkpoints/llava-v1.5-mlp2x-336px-pretrain-vicuna-7b-v1.5/mm_projector.bin
    --perceiver_init bert
    --mm_vision_select_layer -2
    --mm_use_im_start_end False
    --mm_use_im_patch_token False
    --perceiver_hidden_size 768
    --perceiver_querys 128
    --perceiver_layers 2
    --random_shots_training True
    --image_aspect_ratio pad
    --group_by_modality_length True
    --mm_projector_type mlp2x_gelu
    --fp16 True
    --output_dir "./checkpoints/$file"
    --num_train_epochs 1
    --per_device_train_batch_size 8
    --per_device_eval_batch_size 1
    --gradient_accumulation_steps 1
    --evaluation_strategy "no"
    --save_strategy "steps"
    --save_steps 500
    --save_total_limit 1
    --learning_rate 2e-5
    --weight_decay 0.
    --warmup_ratio 0.03
    --lr_scheduler_type "cosine"
    --logging_steps 1
    --tf32 False
    --model_max_length 2048
    --gradient_checkpointing True
    --dataloader_num_workers 4
    --lazy_preprocess True
    "$@"
)

python -m camml train "${flags[@]}" --check True

[ -f "$NEIGHBORS/manifest.json" ] ||
    python -m camml neighbors "$DATA" "$INDEX" "$NEIGHBORS" --images "$IMAGES" --mode text-image --k 10 \
        ${STORE_IMAGES:+--store-images "$STORE_IMAGES"} ${NEIGHBORS_ARGUMENTS:-}

torchrun --nproc_per_node="$GPUS_PER_NODE" --master_port="${MASTER_PORT:-$((RANDOM % 20000 + 20000))}" \
    ${TORCHRUN_ARGUMENTS:-} -m camml train "${flags[@]}"
