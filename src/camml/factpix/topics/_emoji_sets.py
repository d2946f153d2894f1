"""Icon sets that draw emoji, some of which draw flags too."""

from camml.factpix.sources import icon_set

EMOJIONE = icon_set(
    "emojione",
    "1.2.3",
    "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
    "EmojiOne 2 (EmojiTwo)",
    "Emoji One",
    "CC-BY-4.0",
    "https://github.com/EmojiTwo/emojitwo",
)
FLUENT = icon_set(
    "fluent-emoji",
    "1.2.7",
    "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    "Fluent Emoji",
    "Microsoft Corporation",
    "MIT",
    "https://github.com/microsoft/fluentui-emoji",
)
FLUENT_FLAT = icon_set(
    "fluent-emoji-flat",
    "1.2.6",
    "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
    "Fluent Emoji Flat",
    "Microsoft Corporation",
    "MIT",
    "https://github.com/microsoft/fluentui-emoji",
)
FXEMOJI = icon_set(
    "fxemoji",
    "1.2.2",
    "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
    "FxEmojis",
    "Mozilla",
    "Apache-2.0",
    "https://github.com/mozilla/fxemoji",
)
NOTO = icon_set(
    "noto",
    "1.2.9",
    "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    "Noto Emoji",
    "Google Inc",
    "Apache-2.0",
    "https://github.com/googlefonts/noto-emoji",
)
NOTO_V1 = icon_set(
    "noto-v1",
    "1.2.5",
    "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
    "Noto Emoji (v1)",
    "Google Inc",
    "Apache-2.0",
    "https://github.com/googlefonts/noto-emoji",
)
OPENMOJI = icon_set(
    "openmoji",
    "1.2.29",
    "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
    "OpenMoji",
    "OpenMoji",
    "CC-BY-SA-4.0",
    "https://github.com/hfg-gmuend/openmoji",
)
TWEMOJI = icon_set(
    "twemoji",
    "1.2.5",
    "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
    "Twemoji",
    "Twitter and other contributors",
    "CC-BY-4.0",
    "https://github.com/jdecked/twemoji",
)
