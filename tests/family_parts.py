"""Config and processor of each family of vision-language models, small.

Each function gets the tokenizer, the number of rows of the embedding and the chat template.
"""

from typing import Any

import transformers as hf

from tests import still_pictures


def _text(rows: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": rows, "max_position_embeddings": 1024, "tie_word_embeddings": False,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, **more,
    }  # fmt: skip


def _tower(**more: Any) -> dict[str, Any]:
    """Return the sizes of a tower that cuts 28 pixels into 4 x 4 patches."""
    return {
        "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 28, "patch_size": 7, **more,
    }  # fmt: skip


def _id(tokenizer: Any, token: str) -> int:
    number: int = tokenizer.convert_tokens_to_ids(token)
    return number


SQUARE = {"height": 28, "width": 28}
TILES = [[28, 56], [56, 28], [56, 56], [28, 84], [84, 28]]


def llava(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: CLIP, Llama: every picture fills 16 tokens."""
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**_tower(num_hidden_layers=3)), text_config=hf.LlamaConfig(**_text(rows)),
        image_token_index=_id(tokenizer, "<image>"), image_seq_length=16,
    )  # fmt: skip
    images = hf.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=SQUARE)
    processor = hf.LlavaProcessor(
        images, tokenizer, patch_size=7, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=template,
    )  # fmt: skip
    return config, processor


def llava_next(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: CLIP, Mistral: tiles by shape and ends of lines."""
    config = hf.LlavaNextConfig(
        vision_config=hf.CLIPVisionConfig(**_tower(num_hidden_layers=3)), text_config=hf.MistralConfig(**_text(rows)),
        image_token_index=_id(tokenizer, "<image>"), image_seq_length=16, image_grid_pinpoints=TILES,
    )  # fmt: skip
    images = hf.LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size=SQUARE, image_grid_pinpoints=TILES
    )  # fmt: skip
    processor = hf.LlavaNextProcessor(
        images, tokenizer, patch_size=7, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=template,
    )  # fmt: skip
    return config, processor


def llava_onevision(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: SigLIP, Qwen2: tiles by shape for a picture on its own."""
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**_tower(vision_use_head=False)), text_config=hf.Qwen2Config(**_text(rows)),
        image_token_index=_id(tokenizer, "<image>"), video_token_index=_id(tokenizer, "<video>"),
        image_grid_pinpoints=TILES,
    )  # fmt: skip
    images = hf.LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=TILES)
    videos = still_pictures.video_processor("LlavaOnevisionVideoProcessor")
    processor = hf.LlavaOnevisionProcessor(
        images, tokenizer, videos, num_image_tokens=16, vision_feature_select_strategy="full",
        chat_template=template,
    )  # fmt: skip
    return config, processor


def _three_axes(**more: Any) -> dict[str, Any]:
    """Return rotary positions with a share for time, height and width each: of 4 pairs in a head of 8."""
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1], **more}}


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    return {
        "image_token_id": _id(tokenizer, "<|image_pad|>"), "video_token_id": _id(tokenizer, "<|video_pad|>"),
        "vision_start_token_id": _id(tokenizer, "<|vision_start|>"),
        "vision_end_token_id": _id(tokenizer, "<|vision_end|>"),
    }  # fmt: skip


def _free_size(patch: int) -> Any:
    """Return images of any shape from 2 x 2 to 16 places of 2 x 2 patches."""
    unit = (2 * patch) ** 2
    return hf.Qwen2VLImageProcessorPil(patch_size=patch, size={"shortest_edge": 4 * unit, "longest_edge": 16 * unit})


def qwen2_vl(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: a tower for any shape, three axes of positions."""
    config = hf.Qwen2VLConfig(
        text_config=_text(rows, tie_word_embeddings=True, **_three_axes()), tie_word_embeddings=True,
        vision_config={"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 7},
        **_qwen_ids(tokenizer),
    )  # fmt: skip
    videos = still_pictures.video_processor("Qwen2VLVideoProcessor")
    return config, hf.Qwen2VLProcessor(_free_size(7), tokenizer, videos, chat_template=template)


def qwen2_5_vl(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: the same with windows in the tower."""
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32, "patch_size": 7,
        "window_size": 28, "fullatt_block_indexes": [1],
    }  # fmt: skip
    config = hf.Qwen2_5_VLConfig(text_config=_text(rows, **_three_axes()), vision_config=vision, **_qwen_ids(tokenizer))
    videos = still_pictures.video_processor("Qwen2VLVideoProcessor")
    return config, hf.Qwen2_5_VLProcessor(_free_size(7), tokenizer, videos, chat_template=template)


def qwen3_vl(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: deepstack: features of the tower go into the first layers as well."""
    vision = {
        "depth": 3, "hidden_size": 16, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32, "patch_size": 8,
        "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1],
    }  # fmt: skip
    text = _text(rows, tie_word_embeddings=True, head_dim=8, **_three_axes(mrope_interleaved=True))
    config = hf.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **_qwen_ids(tokenizer))
    videos = still_pictures.video_processor("Qwen3VLVideoProcessor")
    return config, hf.Qwen3VLProcessor(_free_size(8), tokenizer, videos, chat_template=template)


def idefics3(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: SigLIP-like tower, Llama: rows and columns of tiles with names."""
    config = hf.Idefics3Config(
        vision_config=_tower(), text_config=hf.LlamaConfig(**_text(rows)), scale_factor=2,
        image_token_id=_id(tokenizer, "<image>"), pad_token_id=0,
    )  # fmt: skip
    images = hf.Idefics3ImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    return config, hf.Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template)


def smolvlm(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: as Idefics3, with tied embeddings."""
    config = hf.SmolVLMConfig(
        vision_config=_tower(), text_config=hf.LlamaConfig(**_text(rows, tie_word_embeddings=True)),
        scale_factor=2, image_token_id=_id(tokenizer, "<image>"), pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    images = hf.SmolVLMImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    videos = still_pictures.video_processor("SmolVLMVideoProcessor")
    processor = hf.SmolVLMProcessor(images, tokenizer, videos, image_seq_len=4, chat_template=template)
    return config, processor


def internvl(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: tiles by shape, Qwen2."""
    config = hf.InternVLConfig(
        vision_config=_tower(image_size=[28, 28], patch_size=[7, 7]), text_config=hf.Qwen2Config(**_text(rows)),
        image_token_id=_id(tokenizer, "<IMG_CONTEXT>"), image_seq_length=4, tie_word_embeddings=False,
    )  # fmt: skip
    images = hf.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4)
    videos = still_pictures.video_processor("InternVLVideoProcessor")
    processor = hf.InternVLProcessor(images, tokenizer, videos, image_seq_length=4, chat_template=template)
    return config, processor


def gemma3(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: SigLIP, Gemma 3: 4 tokens a picture, which see each other both ways."""
    text = _text(rows, head_dim=8, tie_word_embeddings=True, sliding_window=16, query_pre_attn_scalar=8)
    layers = ["sliding_attention", "full_attention"]
    config = hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(**text, layer_types=layers),
        vision_config=hf.SiglipVisionConfig(**_tower(vision_use_head=False)),
        mm_tokens_per_image=4, image_token_index=_id(tokenizer, "<image_soft_token>"),
        boi_token_index=_id(tokenizer, "<start_of_image>"), eoi_token_index=_id(tokenizer, "<end_of_image>"),
    )  # fmt: skip
    images = hf.Gemma3ImageProcessorPil(size=SQUARE)
    return config, hf.Gemma3Processor(images, tokenizer, chat_template=template, image_seq_length=4)


def paligemma(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: SigLIP, Gemma: the prompt sees itself both ways."""
    text = hf.GemmaConfig(**_text(rows, head_dim=8, tie_word_embeddings=True))
    config = hf.PaliGemmaConfig(
        vision_config=hf.SiglipVisionConfig(**_tower(vision_use_head=False, projection_dim=32)), text_config=text,
        image_token_index=_id(tokenizer, "<image>"), projection_dim=32, hidden_size=32, vocab_size=rows,
    )  # fmt: skip
    images = hf.SiglipImageProcessorPil(size=SQUARE)
    images.image_seq_length = 16
    return config, hf.PaliGemmaProcessor(images, tokenizer, chat_template=template)


def mistral3(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: Pixtral's tower for any shape, with ends of lines among the tokens."""
    config = hf.Mistral3Config(
        vision_config=hf.PixtralVisionConfig(**_tower(image_size=56)), text_config=hf.MistralConfig(**_text(rows)),
        image_token_index=_id(tokenizer, "[IMG]"), spatial_merge_size=2, tie_word_embeddings=False,
    )  # fmt: skip
    images = hf.PixtralImageProcessorPil(size={"longest_edge": 56}, patch_size={"height": 14, "width": 14})
    processor = hf.PixtralProcessor(images, tokenizer, patch_size=7, spatial_merge_size=2, chat_template=template)
    return config, processor


def aya_vision(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: SigLIP, Cohere 2: tiles by shape."""
    config = hf.AyaVisionConfig(
        vision_config=hf.SiglipVisionConfig(**_tower(vision_use_head=False)),
        text_config=hf.Cohere2Config(**_text(
            rows, tie_word_embeddings=True, sliding_window=16, layer_types=["sliding_attention", "full_attention"]
        )),
        downsample_factor=2, image_token_index=_id(tokenizer, "<|IMG_PATCH|>"),
    )  # fmt: skip
    images = hf.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = hf.AyaVisionProcessor(
        images, tokenizer, patch_size=7, img_size=28, downsample_factor=2, chat_template=template
    )
    return config, processor


def glm4v(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: a tower for any shape, three axes of positions."""
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32, "image_size": 28,
        "patch_size": 7,
    }  # fmt: skip
    text = _text(rows, **_three_axes(partial_rotary_factor=1.0))
    config = hf.Glm4vConfig(
        text_config=text, vision_config=vision,
        image_token_id=_id(tokenizer, "<|image|>"), video_token_id=_id(tokenizer, "<|video|>"),
        **{f"{kind}_start_token_id": _id(tokenizer, f"<|begin_of_{kind}|>") for kind in ("image", "video")},
        **{f"{kind}_end_token_id": _id(tokenizer, f"<|end_of_{kind}|>") for kind in ("image", "video")},
    )  # fmt: skip
    images = hf.Glm4vImageProcessorPil(patch_size=7, size={"shortest_edge": 2 * 784, "longest_edge": 2 * 56 * 56})
    videos = still_pictures.video_processor("Glm4vVideoProcessor")
    return config, hf.Glm4vProcessor(images, tokenizer, videos, chat_template=template)


def deepseek_vl(tokenizer: Any, rows: int, template: str) -> tuple[Any, Any]:
    """Return config and processor: SigLIP, Llama: every picture fills 16 tokens."""
    config = hf.DeepseekVLConfig(
        text_config=hf.LlamaConfig(**_text(rows)), vision_config=hf.SiglipVisionConfig(**_tower(vision_use_head=False)),
        image_token_id=_id(tokenizer, "<image_placeholder>"), tie_word_embeddings=False,
    )  # fmt: skip
    images = hf.DeepseekVLImageProcessorPil(size=SQUARE, min_size=7)
    processor = hf.DeepseekVLProcessor(images, tokenizer, template, num_image_tokens=16)
    return config, processor
