# Where the published files lie, for the scripts here; `published.py` says the same for those in Python.

# published_pair DATA sqa|665k: the index and the JSON of samples as INDEX_FILE:DATA_JSON. They lie in DATA, or where
# scripts/retriever/ writes those of your own; if neither is there, the first place is named.
published_pair() {
    local data=$1 own
    case $2 in
    sqa) echo "$data/sqa_vision_flatIP.index:$data/sqa_train_post_memory_answer.json" ;;
    665k)
        own=$data/llava/llava_665k
        if [ ! -f "$data/llava_665k_vision_flatIP.index" ] && [ -f "$own/index/llava_665k_vision_flatIP.index" ]; then
            echo "$own/index/llava_665k_vision_flatIP.index:$own/llava_665k_memory_metadata.json"
        else
            echo "$data/llava_665k_vision_flatIP.index:$data/llava_665k_memory_metadata.json"
        fi
        ;;
    *)
        echo "no published samples '$2'; there are: sqa, 665k" >&2
        return 2
        ;;
    esac
}
