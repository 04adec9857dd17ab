"""Block ranking: the K blocks of a CAM that hold most evidence (paper, section 2.2, eq. 1)."""

import jax
import jax.numpy as jnp


def block_scores(cam: jax.Array, block: tuple[int, int]) -> jax.Array:
    """Sum of the cam over each block, blocks in reading order.

    Args:
        cam: (N, H, W).
        block: height and width in cells; they divide H and W.

    Returns:
        (N, H / height * W / width).

    Example:
        >>> from pmm_jax.mixing import block_scores
        >>> cam = jnp.array([[[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]])
        >>> block_scores(cam, block=(2, 2)).tolist()
        [[10.0, 18.0]]
    """
    n, h, w = cam.shape
    rows, columns = h // block[0], w // block[1]
    return cam.reshape(n, rows, block[0], columns, block[1]).sum((2, 4)).reshape(n, -1)


def top_blocks(scores: jax.Array, top_k: int) -> jax.Array:
    """Numbers of each image's highest blocks, the highest first.

    Blocks with equal scores are taken in reading order, row by row from the top left. (The
    release counts column by column; that differs only where scores tie.)

    Args:
        scores: (N, blocks), blocks in reading order.
        top_k: K.

    Returns:
        (N, top_k) int.

    Example:
        >>> from pmm_jax.mixing import top_blocks
        >>> top_blocks(jnp.array([[10.0, 18.0, 42.0, 50.0]]), top_k=2).tolist()
        [[3, 2]]
    """
    return jax.lax.top_k(scores, top_k)[1]  # ties: the lower index first


def top_block_mask(
    scores: jax.Array, shape: tuple[int, ...], block: tuple[int, int], top_k: int
) -> jax.Array:
    """The mask M of eq. 1: False in the `top_k` highest blocks, True elsewhere.

    Args:
        scores: (N, blocks), blocks in reading order.
        shape: N, H, W.
        block: height and width in cells; they divide H and W.
        top_k: K, blocks replaced in every image.

    Returns:
        (N, H, W) bool.

    Example:
        >>> from pmm_jax.mixing import top_block_mask
        >>> scores = jnp.array([[10.0, 18.0, 42.0, 50.0]])
        >>> top_block_mask(scores, shape=(1, 2, 4), block=(1, 2), top_k=1).tolist()
        [[[True, True, True, True], [True, True, False, False]]]
    """
    n, h, w = shape
    rows, columns = h // block[0], w // block[1]
    chosen = top_blocks(scores, top_k)
    replaced = (chosen[:, :, None] == jnp.arange(rows * columns)[None, None]).any(1)
    cells = replaced.reshape(n, rows, 1, columns, 1)
    return ~jnp.broadcast_to(cells, (n, rows, block[0], columns, block[1])).reshape(n, h, w)


def block_mask(cam: jax.Array, block: tuple[int, int], top_k: int) -> jax.Array:
    """`top_block_mask` of a CAM.

    Args:
        cam: (N, H, W).
        block: height and width in cells; they divide H and W.
        top_k: K, blocks replaced in every image.

    Returns:
        (N, H, W) bool.

    Example:
        >>> from pmm_jax.mixing import block_mask
        >>> cam = jnp.array([[[0.0, 1.0], [5.0, 2.0]]])
        >>> block_mask(cam, block=(1, 1), top_k=2).tolist()
        [[[True, True], [False, False]]]
    """
    return top_block_mask(block_scores(cam, block), cam.shape, block, top_k)
