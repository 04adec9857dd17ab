"""BDB: stage I, and a branch that loses one rectangle of the batch, under BDB's names."""

import torch
from torch import Tensor, nn

from pmm_jax.config import MethodConfig, ModelConfig
from pmm_jax.torch_baseline.model import (
    Bottleneck,
    StageOutputs,
    global_reduction,
    reduction,
    trunk,
)


class BDB(nn.Module):
    """The network of Dai et al., ICCV 2019."""

    def __init__(self, model: ModelConfig, method: MethodConfig, num_ids: int) -> None:
        super().__init__()
        self.method = method
        size = model.embedding_size
        self.backbone, self.res_part, channels, planes = trunk(model)
        self.global_softmax = nn.Linear(size, num_ids)
        self.global_reduction = global_reduction(channels, size)
        self.res_part2 = Bottleneck(channels, planes)
        self.reduction = reduction(channels, 2 * size)
        self.softmax = nn.Linear(2 * size, num_ids)

    def forward(self, images: Tensor) -> Tensor:
        """Test-mode descriptor: images (N, 3, H, W), normalized, to (N, 3 * embedding_size)."""
        feature_map = self.res_part(self.backbone(images))
        first = self.global_reduction(feature_map.mean((2, 3), keepdim=True)).flatten(1)
        return torch.cat([first, self.reduction(self.res_part2(feature_map).amax((2, 3)))], 1)

    def stages(self, images: Tensor, labels: Tensor, first_row: int) -> StageOutputs:
        """Training-mode outputs.

        Args:
            images: (N, 3, H, W), normalized and augmented.
            labels: (N,) int64; not needed.
            first_row: of the map's rows that are dropped.
        """
        feature_map = self.res_part(self.backbone(images))
        embedding1 = self.global_reduction(feature_map.mean((2, 3), keepdim=True)).flatten(1)
        part_map = self.res_part2(feature_map)
        n, _, h, w = part_map.shape
        mask = torch.ones(n, 1, h, w, dtype=torch.bool)
        mask[:, :, first_row : first_row + max(1, round(self.method.drop_ratio * h))] = False
        embedding2 = self.reduction((part_map * mask).amax((2, 3)))
        return StageOutputs(
            [embedding1, embedding2],
            [self.global_softmax(embedding1), self.softmax(embedding2)],
            [mask],
        )
