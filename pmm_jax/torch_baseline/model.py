"""ResNet-50 trunk, part block and three heads, under the release's names."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pmm_jax.config import MethodConfig, ModelConfig
from pmm_jax.torch_baseline.mixing import block_mask, head_cam, released_cam

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut."""

    def __init__(self, channels: int, planes: int, stride: int = 1, project: bool = False) -> None:
        super().__init__()
        out = EXPANSION * planes
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = (
            nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            if project
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, C, H, W)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(y + shortcut)


def layer(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    """A layer of the trunk; its first block strides and projects the shortcut."""
    rest = (Bottleneck(EXPANSION * planes, planes) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(channels, planes, stride, project=True), *rest)


class StageOutputs(NamedTuple):
    """Outputs of the stages in training."""

    embeddings: list[Tensor]
    logits: list[Tensor]
    masks: list[Tensor]
    """(N, 1, h, w) bool: masks of stages II and III, False where the negative's cells are put."""


class Trunk(NamedTuple):
    """ResNet-50, in the two parts that the release names."""

    backbone: nn.Sequential
    """Stem and layer1 to layer3."""
    res_part: nn.Sequential
    """layer4, with stride 1."""
    channels: int
    """Channels of the trunk's feature map."""
    planes: int
    """Planes of layer4."""


def trunk(model: ModelConfig) -> Trunk:
    """A fresh trunk."""
    stem, *planes = (max(8, round(c * model.width / 8) * 8) for c in (64, 64, 128, 256, 512))
    stage_sizes = model.stage_sizes
    backbone = nn.Sequential(
        nn.Conv2d(3, stem, 7, 2, padding=3, bias=False),
        nn.BatchNorm2d(stem),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
        layer(stem, planes[0], stage_sizes[0], 1),
        layer(EXPANSION * planes[0], planes[1], stage_sizes[1], 2),
        layer(EXPANSION * planes[1], planes[2], stage_sizes[2], 2),
    )
    res_part = layer(EXPANSION * planes[2], planes[3], stage_sizes[3], 1)
    return Trunk(backbone, res_part, EXPANSION * planes[3], planes[3])


def global_reduction(channels: int, size: int) -> nn.Sequential:
    """Reduction of stage I, a convolution of the pooled map."""
    return nn.Sequential(nn.Conv2d(channels, size, 1), nn.BatchNorm2d(size), nn.ReLU())


def reduction(channels: int, size: int) -> nn.Sequential:
    """Reduction of every other head."""
    return nn.Sequential(nn.Linear(channels, size), nn.BatchNorm1d(size), nn.ReLU())


class PMM(nn.Module):
    """The network. In training mode each stage is fed what its predecessor's CAM leaves."""

    def __init__(
        self,
        model: ModelConfig,
        method: MethodConfig,
        num_ids: int,
        cam: Literal["head", "released"] = "head",
    ) -> None:
        """`cam`: by the head's backward alone, or by the release's, through the whole trunk."""
        super().__init__()
        self.method = method
        self.cam = {"head": head_cam, "released": released_cam}[cam]
        size = model.embedding_size
        self.backbone, self.res_part, channels, planes = trunk(model)
        self.global_softmax = nn.Linear(size, num_ids)
        self.global_reduction = global_reduction(channels, size)
        self.res_part2 = Bottleneck(channels, planes)
        self.reduction1 = reduction(channels, size)
        self.softmax1 = nn.Linear(size, num_ids)
        self.reduction2 = reduction(channels, size)
        self.softmax2 = nn.Linear(size, num_ids)

    def forward(self, images: Tensor) -> Tensor:
        """Test-mode descriptor: images (N, 3, H, W), normalized, to (N, 3 * embedding_size)."""
        feature_map = self.res_part(self.backbone(images))
        part_map = self.res_part2(feature_map)
        pooled = part_map.amax((2, 3))
        first = self.global_reduction(feature_map.mean((2, 3), keepdim=True)).flatten(1)
        return torch.cat([first, self.reduction1(pooled), self.reduction2(pooled)], 1)

    def stages(
        self,
        images: Tensor,
        labels: Tensor,
        negatives: tuple[Tensor, Tensor],
        masks: tuple[Tensor, Tensor] | None = None,
    ) -> StageOutputs:
        """Training-mode outputs.

        Args:
            images: (N, 3, H, W), normalized and augmented.
            labels: (N,) int64.
            negatives: for stages II and III, (N,) int64, the image mixed into each anchor.
            masks: masks to use in place of the CAMs' own, (N, 1, h, w) bool.
        """
        method = self.method
        feature_map = self.res_part(self.backbone(images))
        pooled = feature_map.mean((2, 3), keepdim=True)
        embedding1 = self.global_reduction(pooled).flatten(1)
        logits1 = self.global_softmax(embedding1)

        part_map = self.res_part2(feature_map)
        mask2 = block_mask(self.cam(logits1, feature_map, labels), method.block, method.top_k)
        used = mask2 if masks is None else masks[0]
        mixed = torch.where(used, part_map, part_map[negatives[0]])
        embedding2 = self.reduction1(mixed.amax((2, 3)))
        logits2 = self.softmax1(embedding2)

        mask3 = block_mask(self.cam(logits2, mixed, labels), method.block, method.top_k)
        used = mask3 if masks is None else masks[1]
        base = mixed if method.cumulative else part_map
        embedding3 = self.reduction2(torch.where(used, base, base[negatives[1]]).amax((2, 3)))
        logits3 = self.softmax2(embedding3)
        return StageOutputs(
            [embedding1, embedding2, embedding3], [logits1, logits2, logits3], [mask2, mask3]
        )
