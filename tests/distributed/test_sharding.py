"""The mesh that batches are split over."""

import pytest

from pmm_jax.distributed.sharding import data_mesh
from pmm_jax.errors import UserError


@pytest.mark.parametrize(("size", "devices"), [(7, 2), (30, 4), (3, 8)])
def test_a_batch_that_devices_can_not_share_is_refused(size: int, devices: int) -> None:
    with pytest.raises(UserError, match=f"{size} images does not divide by {devices} devices"):
        data_mesh(size, devices)
