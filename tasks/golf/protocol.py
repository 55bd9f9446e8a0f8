"""What prepare.py and evaluate.py agree on: the shape of a split and the wire format. Trusted, never editable.

A split is STREAMS pieces of held-out text, each of PROMPT bytes that are given away and STEPS bytes that are
scored. All streams of a split advance in lockstep:

    evaluator -> predictor   "<III" streams, steps, prompt length; then the prompts, stream by stream
    repeat `steps` times:
      predictor -> evaluator  streams x 256 little-endian float32, one distribution over the next byte per stream
      evaluator -> predictor  streams bytes, what the next byte was
    evaluator -> predictor   "<III" 0, 0, 0 after the last split; the predictor exits

A byte is written to the pipe only after the whole frame that predicts it has been read, so there is nothing to
read ahead of.
"""

import struct

SPLITS = ("search", "select", "report")
STREAMS = 128
PROMPT = 16
STEPS = 192
RECORD = PROMPT + STEPS

ALPHABET = 256
HEADER = struct.Struct("<III")
FRAME_BYTES = STREAMS * ALPHABET * 4
