"""The names of recorded metrics and traffic, as training, logs and analysis use them."""

from __future__ import annotations

#: F at the model.
LOSS = "loss"
#: ‖∇F‖ at the model.
GRADIENT_NORM = "gradient_norm"
#: Distance of the model to the optimum, where the problem knows one.
DISTANCE_TO_OPTIMUM = "distance_to_optimum"
#: Distance of the aggregate to ∇F.
AGGREGATION_ERROR = "aggregation_error"
#: β², the heterogeneity of the subsets.
BETA_SQUARED = "beta_squared"
#: Dispersion of the honest messages, and its expectation.
HONEST_DISPERSION = "honest_dispersion"
HONEST_DISPERSION_PREDICTED = "honest_dispersion_predicted"
#: Messages that the server refused, and the outcome of the decoder.
MESSAGES_REJECTED = "messages_rejected"
DECODER_STATUS = "decoder_status"
#: Bytes of an iteration from all devices to the server, and from the server.
UPLINK_BYTES = "uplink_bytes"
DOWNLINK_BYTES = "downlink_bytes"


def on_train(name: str) -> str:
    """Return the name of a model's metric on the training samples."""
    return f"train_{name}"


def on_test(name: str) -> str:
    """Return the name of a model's metric on the test samples."""
    return f"test_{name}"
