"""The baseline: the trunk with stage I alone."""

from typing import ClassVar

from pmm_jax.methods.method import Method, StageOutputs, TrainBatch
from pmm_jax.model.pmm import Kind, TrainPass


class Baseline(Method):
    """One head, nothing mixed."""

    name = "baseline"
    title = "One head"
    network: ClassVar[Kind] = "baseline"

    def forward(self, net: TrainPass, batch: TrainBatch) -> StageOutputs:
        """Stage I on the trunk's map."""
        feature_map = net.feature_map(batch.images)
        embedding, logits = net("stage1", feature_map)
        return StageOutputs((embedding,), (logits,), inputs=(feature_map,))
