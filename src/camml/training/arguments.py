"""All settings of a training run. The published training commands' flags keep their names and meanings."""

import json
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType

from camml import prompts
from camml.errors import OptionError, first_line
from camml.remote import is_address
from camml.training import fixed, limits, machine, places
from camml.training.processes import join_on_cpu
from camml.training.remote import local_folder
from camml.training.sharding import deepspeed_config

VERSIONS = {"v1": "official", "auto": None}
"""Conversation templates by the names of the published command; `auto` is what fits the tokenizer."""

TUNE = ("full", "perceiver", "projector", "lora", "qlora")

STRATEGIES = ("no", "steps", "epoch")
"""Values of --save_strategy and --eval_strategy."""

BY_EVALUATION = ("reduce_lr_on_plateau", "greedy")
"""Schedules whose rate follows evaluations, which here choose a checkpoint and nothing else."""

STARTS = ("random", "copy", "bert")

BERT = "./checkpoints/bert-base-uncased"
"""Where `--perceiver_init bert` looks for BERT, the name of the folder being that of the published model."""

NO_FILE = ("", "no", "none", "false")
"""How `--deepspeed` is taken back that a script or a recipe gives."""

_logger = logging.getLogger("camml")


ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""Of transformers, for the language model. In bfloat16 on a CPU `eager` takes half the time of `sdpa`."""


def _flag(default: Any, text: str, **more: Any) -> Any:
    return field(default=default, metadata={"help": text, **more})


@dataclass
class ModelArguments:
    """Flags about the model: what is trained, and what it starts from."""

    model_name_or_path: str = _flag(
        "", "folder of a vision-language or a language model, or of a CaMML model to go on with"
    )
    vision_tower: str | None = _flag(None, "folder of the vision tower for a language model; always frozen")
    pretrain_mm_mlp_adapter: str | None = _flag(None, "mm_projector.bin to start the projector from")
    perceiver_init: str = _flag(
        "random", f"how new perceivers start: {', '.join(STARTS)} (copy: words of near samples)"
    )
    perceiver_copied: list[int] | None = _flag(None, "words copied of the nearest sample, the next, ...")  # noqa: RUF009
    pretrain_perceivers: str | None = _flag(None, f"folder of BERT to start the perceivers from; of `bert`: {BERT}")
    version: str = _flag("auto", "v1: Vicuna's conversation template; auto: the tokenizer's own, else Vicuna's")
    attn_implementation: str | None = _flag(
        None, "attention of the language model: sdpa, eager, flash_attention_2, ..."
    )
    prompt_style: str | None = _flag(None, "wording of the prompt, a name in camml.prompts; overrides --version")
    thinking: bool = _flag(False, "let a model whose chat template has such a switch think before it answers")
    mm_vision_select_layer: int = _flag(-2, "hidden state of the tower that is used")
    mm_vision_select_feature: str = _flag("patch", "patch: without the CLS token; all: with it")
    mm_projector_type: str = _flag("linear", "linear or mlpNx_gelu; an mm_projector.bin says it itself")
    mm_use_im_start_end: bool = _flag(False, "only False: no tokens around the image, as in the published models")
    mm_use_im_patch_token: bool = _flag(False, "only False: no patch token in the vocabulary")
    perceiver_hidden_size: int = _flag(768, "width of the perceivers")
    perceiver_querys: int = _flag(128, "learned queries of each kind; a context becomes twice as many tokens")
    perceiver_layers: int = _flag(2, "layers of each perceiver")
    perceiver_heads: int = _flag(12, "attention heads of the perceivers")
    perceiver_intermediate_size: int = _flag(3072, "width inside the perceivers' feed-forward layers")
    perceiver_dropout: float = _flag(0.1, "dropout of the perceivers")
    perceiver_positions: bool = _flag(
        False, "give the perceivers the positions of words and samples; not in the published models"
    )
    perceiver_run_on: bool = _flag(
        False, "count word positions continuously over all samples; not in the published models"
    )
    perceiver_seamless: bool = _flag(
        False,
        "with --perceiver_run_on: fill all context tokens, also without images; not in the published models",
    )
    grounded: bool = _flag(
        False, "answers are held to words of their samples, unless asked otherwise; not in the published models"
    )
    image_size: int | None = _flag(None, "side in pixels of the images the tower gets; its own if not given")
    image_pooling: int = _flag(1, "side of the squares of patches of the question's image that become one token")
    image_aspect_ratio: str = _flag("pad", "pad images to a square, or keep them as they are")
    sample_max_length: int = _flag(2048, "tokens of a sample's text at most")
    tune: str = _flag("full", f"what is trained: {', '.join(TUNE)} (perceiver: with the projector)")
    tune_mm_mlp_adapter: bool = _flag(False, "the same as --tune projector")
    freeze_backbone: bool = _flag(False, "with --tune full: the same as --tune perceiver")
    lora_enable: bool = _flag(False, "the same as --tune lora")
    lora_r: int = _flag(64, "rank of the LoRA matrices")
    lora_alpha: int = _flag(16, "scale of LoRA")
    lora_dropout: float = _flag(0.05, "dropout of LoRA")
    pretrain_lora: str | None = _flag(
        None, "packed model or LoRA run to go on from: its LoRA matrices, perceivers and projector"
    )
    lora_alone: bool = _flag(False, "train LoRA matrices alone, and leave perceivers and projector as they start")
    lora_bias: str = _flag("none", "which biases LoRA trains: none, all, lora_only")
    bits: int = _flag(16, "4 or 8 with --tune qlora: bits of the frozen language model's weights")
    double_quant: bool = _flag(True, "quantise the quantisation constants too")
    quant_type: str = _flag("nf4", "4-bit data type: nf4 or fp4")

    def __post_init__(self) -> None:
        places.expand(self)
        limits.check(self)
        if self.mm_use_im_start_end or self.mm_use_im_patch_token:
            raise OptionError("--mm_use_im_start_end and --mm_use_im_patch_token must be False: no token is added")
        for given, meant in (
            (self.tune_mm_mlp_adapter, "projector"),
            (self.lora_enable, "lora"),
            (self.freeze_backbone and self.tune == "full", "perceiver"),
        ):
            if given:
                self.tune = meant
        if self.tune == "lora" and self.bits < 16:
            self.tune = "qlora"
        if self.tune == "qlora" and self.bits == 16:
            self.bits = 4
        _choice("tune", self.tune, TUNE)
        _choice("perceiver_init", self.perceiver_init, STARTS)
        if self.perceiver_init == "bert":
            self._find_bert()
        if self.perceiver_init == "copy" and self.pretrain_perceivers:
            raise OptionError("--perceiver_init copy and --pretrain_perceivers are two starts; give one")
        if self.perceiver_copied and self.perceiver_init != "copy":
            raise OptionError("--perceiver_copied says what a copying start copies; add --perceiver_init copy")
        if self.pretrain_lora and self.tune != "lora":
            raise OptionError("--pretrain_lora goes on with the matrices of LoRA; add --tune lora")
        if self.pretrain_lora and Path(self.pretrain_lora).exists():  # a run is packed from any folder
            self.pretrain_lora = str(Path(self.pretrain_lora).resolve())
        if self.lora_alone and self.tune not in ("lora", "qlora"):
            raise OptionError("--lora_alone trains the matrices of LoRA; add --tune lora")
        if self.attn_implementation is not None:
            _choice("attn_implementation", self.attn_implementation, ATTENTION)
        _choice("bits", self.bits, (4, 8) if self.tune == "qlora" else (16,))
        _choice("quant_type", self.quant_type, ("nf4", "fp4"))
        _choice("lora_bias", self.lora_bias, ("none", "all", "lora_only"))
        _choice("version", self.version, tuple(VERSIONS))
        if self.prompt_style is not None:
            prompts.style(self.prompt_style)
        else:
            self.prompt_style = VERSIONS[self.version]
        self.image_aspect_ratio = {"square": "keep"}.get(self.image_aspect_ratio, self.image_aspect_ratio)
        _choice("image_aspect_ratio", self.image_aspect_ratio, ("pad", "keep"))
        if not self.model_name_or_path:
            raise OptionError(
                "--model_name_or_path is missing: the folder of a vision-language, a language or a CaMML model"
            )

    def _find_bert(self) -> None:
        """Start from BERT where it is there and as wide as the perceivers; else say that the start is random."""
        folder = Path(self.pretrain_perceivers or BERT)
        try:
            width = json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            if self.pretrain_perceivers:
                why = f"--pretrain_perceivers {folder} is not a folder of BERT: its config.json does not tell its width"
                raise OptionError(why) from error
            width, why = 0, f"there is no BERT in {folder}, from which the published models start"
        else:
            why = f"BERT in {folder} is {width} wide, not {self.perceiver_hidden_size} as the perceivers"
        fits = width == self.perceiver_hidden_size
        self.pretrain_perceivers = str(folder) if fits else None
        if not fits and os.environ.get("RANK", "0") == "0":
            _logger.warning("perceivers start with random weights: %s", why)


@dataclass
class DataArguments:
    """Flags about the data: what is trained on."""

    data_path: str = _flag("", "the training set, LLaVA JSON or JSON lines")
    image_folder: str | None = _flag(None, "where its image paths start; default: beside it")
    neighbors: str | None = _flag(None, "folder that `camml neighbors` wrote for it; not needed with --icl_num 0")
    store: str | None = _flag(None, "the datastore the neighbors must come from, to have that checked")
    store_images: str | None = _flag(None, "where the pictures of the neighbors are now, if they were moved")
    icl_num: int = _flag(3, "samples of a context at most")
    random_shots_training: bool = _flag(False, "draw 1 to --icl_num samples anew in every epoch")
    random_shots_max: int | None = _flag(None, "with --random_shots_training: fewer than --icl_num lowers that")
    retrieved_num: int | None = _flag(None, "accepted; `camml neighbors --k` says how many are retrieved")
    sample_image_dropout: float = _flag(
        0.0, "part of the rows whose samples come without images; not in the published models"
    )
    is_multimodal: bool = _flag(True, "accepted; a sample is multimodal where it has an image")
    lazy_preprocess: bool = _flag(False, "False: tokenise all of the data once before training, to find what is bad")
    group_by_modality_length: bool = _flag(False, "steps of one modality and like length")
    on_bad_sample: str = _flag("stop", "at data that cannot be trained on: stop before training, or skip it")
    feature_cache: str | None = _flag(None, "folder in which the tower's features are kept: computed once, ahead")
    cache_gb: float = _flag(64.0, "gigabytes that folder may have")
    eval_data: str | None = _flag(None, "held-out conversations, as --data_path: loss and exact match while training")
    eval_neighbors: str | None = _flag(None, "folder that `camml neighbors` wrote for them")
    eval_image_folder: str | None = _flag(None, "where their image paths start; default: as --image_folder")
    eval_rows: int = _flag(200, "of them at most, spread over the file")
    distill: str | None = _flag(None, "a language model to learn from: it reads the samples' texts whole, once, ahead")
    distill_cache: str | None = _flag(None, "folder for what it says; default: teacher in --output_dir")
    check_images: bool = _flag(False, "decode every image before training, instead of looking whether it is there")

    def __post_init__(self) -> None:
        places.expand(self)
        limits.check(self)
        if not self.data_path:
            raise OptionError("--data_path is missing: the training set, LLaVA JSON")
        _choice("on_bad_sample", self.on_bad_sample, ("stop", "skip"))
        if self.random_shots_training and self.random_shots_max:
            self.icl_num = min(self.icl_num, self.random_shots_max)
        if self.icl_num and not self.neighbors:
            raise OptionError(
                "--neighbors is missing: compute them with `camml neighbors DATA STORE OUT` and give OUT, "
                "or train without contexts (--icl_num 0)"
            )


@dataclass
class RunArguments(TrainingArguments):
    """Flags about the run: those of transformers' TrainingArguments, and names that older versions gave them."""

    report_to: None | str | list[str] = _flag("tensorboard", "tensorboard, wandb, ..., none")  # noqa: RUF009, RUF036
    remove_unused_columns: bool = _flag(False, "accepted; the model knows its inputs")
    evaluation_strategy: str | None = _flag(None, "older name of --eval_strategy")
    do_train: bool = _flag(True, "only True")
    early_stop: int = _flag(0, "with --eval_data: stop after so many evaluations without a better one; 0: never")
    warmup_ratio: float | None = _flag(None, "part of the steps in which the learning rate rises")
    lora_learning_rate: float | None = _flag(None, "learning rate of LoRA matrices; that of everything if not given")
    distill_weight: float = _flag(0.5, "with --distill: share of the loss that is the distance from the teacher")
    model_max_length: int = _flag(2048, "tokens of a row at most")
    overwrite_output_dir: bool = _flag(False, "replace the finished model of another run in --output_dir")
    remote: str | None = field(default=None, init=False)
    """The address of the run on object storage, if that is what `output_dir` was; it then is a folder here."""
    check: bool = _flag(False, "check machine, folders and data in a minute; neighbors may be missing; no training")
    dry_run: bool = _flag(False, "check the data, show three samples, count parameters, estimate memory; no training")

    def __post_init__(self) -> None:
        this: Any = self  # most fields are transformers', whose types are unknown here
        places.expand(self)
        limits.check(self)
        fixed.check(self)
        this.output_dir = this.output_dir or ""
        if not this.output_dir and not self.dry_run and not self.check:
            raise OptionError("--output_dir is missing: the folder that the model is written to")
        if is_address(this.output_dir):
            self.remote, this.output_dir = this.output_dir, str(local_folder(this.output_dir))
        places.check_output(this.output_dir)
        self.remove_unused_columns = False
        self._read_strategies()
        schedule = getattr(this.lr_scheduler_type, "value", this.lr_scheduler_type)
        _choice("lr_scheduler_type", schedule, tuple(kind.value for kind in SchedulerType if kind not in BY_EVALUATION))
        if self.warmup_ratio is not None and not this.warmup_steps:
            this.warmup_steps = self.warmup_ratio
        if isinstance(this.deepspeed, str) and this.deepspeed.lower() in NO_FILE:
            this.deepspeed = None
        if isinstance(this.deepspeed, str) and not this.deepspeed.startswith("{"):
            this.deepspeed = deepspeed_config(this.deepspeed)
        if isinstance(this.fsdp, str):
            this.fsdp = {"true": True, "false": None, "": None}.get(this.fsdp.lower(), this.fsdp)
        # a dry run only talks about precision and sharding, a check about sharding
        names = ("fp16", "bf16", "deepspeed", "fsdp") if self.dry_run else ("deepspeed", "fsdp") if self.check else ()
        planned = {name: getattr(self, name) for name in names}
        for name in planned:
            setattr(self, name, None if name in ("deepspeed", "fsdp") else False)
        self._fit_machine()
        try:
            super().__post_init__()
        except (ValueError, ImportError, FileNotFoundError) as error:
            raise OptionError(first_line(error)) from error
        from transformers.integrations import integration_utils  # heavy, and there once its `__post_init__` has run

        for name in this.report_to:
            _choice("report_to", name, (*integration_utils.INTEGRATION_TO_CALLBACK, "all", "none"))
        for name, value in planned.items():
            setattr(self, name, value)

    def _read_strategies(self) -> None:
        """Keep when to evaluate in `asked_strategy`, for `Settings`, which knows what to evaluate on.

        Raises:
          OptionError: there is no such strategy, or two names of the flag have two values.
        """
        this: Any = self
        newer, older = (getattr(value, "value", value) for value in (this.eval_strategy, self.evaluation_strategy))
        _choice("evaluation_strategy", older or "no", STRATEGIES)
        _choice("save_strategy", getattr(this.save_strategy, "value", this.save_strategy), STRATEGIES)
        if newer != "no" and older not in (None, "no", newer):
            raise OptionError(
                f"--eval_strategy is {newer!r} and --evaluation_strategy, its older name, {older!r}; leave one out"
            )
        self.asked_strategy = str(newer if newer != "no" else older or "no")
        self.asked_best = this.load_best_model_at_end
        this.eval_strategy, this.load_best_model_at_end = "no", False  # with --eval_data the best is always taken

    def _fit_machine(self) -> None:
        """Refuse what cannot work without an accelerator, and set what need not be asked for there."""
        this: Any = self
        machine.check_precision(this.fp16, this.use_cpu)
        if machine.has_accelerator() and not this.use_cpu:
            return
        this.use_cpu = not this.deepspeed
        if this.deepspeed or this.fsdp:
            this.accelerator_config = join_on_cpu("deepspeed" if this.deepspeed else "fsdp")
        this.dataloader_pin_memory = False
        this.tf32 = None


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one run."""

    model: ModelArguments
    data: DataArguments
    run: RunArguments

    def __post_init__(self) -> None:
        _fit_evaluation(self.data, self.run)
        if self.run.save_strategy == SaveStrategy.STEPS and not self.run.save_steps:
            remedy = "1 or more" if self.data.eval_data else "1 or more, or --save_strategy no"
            raise OptionError(f"--save_steps is 0, so no checkpoint would ever be saved; give {remedy}")

    @property
    def output(self) -> Path:
        """The folder of the run."""
        return Path(str(self.run.output_dir))


def _fit_evaluation(data: DataArguments, run: RunArguments) -> None:
    """Set what follows from --eval_data.

    Raises:
      OptionError: settings of the evaluation contradict each other.
    """
    this: Any = run  # fields of transformers
    if not data.eval_data:
        asked = {
            "eval_neighbors": data.eval_neighbors,
            "eval_image_folder": data.eval_image_folder,
            "early_stop": run.early_stop,
            "eval_strategy": run.asked_strategy != "no",
            "eval_steps": this.eval_steps,
            "eval_on_start": this.eval_on_start,
            "do_eval": this.do_eval,
            "load_best_model_at_end": run.asked_best,
        }
        for name in (name for name, value in asked.items() if value):
            raise OptionError(f"--{name} needs --eval_data FILE: the held-out conversations to evaluate on")
        return
    if data.icl_num and not data.eval_neighbors:
        raise OptionError(
            f"--eval_neighbors is missing: compute them with `camml neighbors {data.eval_data} STORE OUT` and give OUT"
        )
    if run.deepspeed or run.fsdp:
        raise OptionError(
            "--eval_data needs a whole model in every process; with --deepspeed or --fsdp leave it out, and compare "
            "checkpoints with `camml eval run`"
        )
    strategy = run.asked_strategy
    if strategy == "no" and not this.eval_steps:
        strategy = this.save_strategy.value
    if strategy == "epoch":
        if this.eval_steps:
            raise OptionError("--eval_strategy epoch is after each epoch, --eval_steps N after each N steps; give one")
        if this.save_strategy == SaveStrategy.STEPS and this.save_steps != RunArguments.save_steps:
            raise OptionError(
                f"--eval_strategy epoch saves after each epoch, too, and not each {this.save_steps:g} steps; give "
                "--save_strategy epoch, or evaluate with --eval_steps N"
            )
        this.eval_strategy = this.save_strategy = IntervalStrategy.EPOCH
    else:
        this.eval_strategy = this.save_strategy = IntervalStrategy.STEPS
        this.eval_steps = this.save_steps = this.eval_steps or this.save_steps  # the best checkpoint must be there
    this.metric_for_best_model, this.greater_is_better = fixed.BEST, True
    this.label_names, this.do_eval = ["labels"], True


def _choice(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise OptionError(f"--{name} is {value!r}; it can be: {', '.join(map(str, known))}")
