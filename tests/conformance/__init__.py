"""A black-box conformance kit for Open Inference Protocol v2 over REST: ``python -m tests.conformance --help``."""
