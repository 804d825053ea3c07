"""The programs here run in environments of their own; pytest must not import them."""

collect_ignore = [
    "generated_client.py",
    "kserve_infer.py",
    "schemathesis_hooks.py",
    "triton_infer.py",
]
