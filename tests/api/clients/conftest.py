"""The programs here run in environments of their own; pytest must not import them."""

collect_ignore = ["kserve_infer.py", "triton_infer.py"]
