"""Wrong changes to what is read, sampled and made of images."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("data/sampler.py", "data/test_sampler.py")(
        (
            "np.random.default_rng([self.seed, 0, epoch])",
            "np.random.default_rng([0, 0, epoch])",
            "all seeds see the same identities",
        ),
        (
            "np.random.default_rng([self.seed, 1, step])",
            "np.random.default_rng([0, 1, step])",
            "all seeds see the same images",
        ),
        (
            "np.random.default_rng([self.seed, 0, epoch])",
            "np.random.default_rng([self.seed, 0])",
            "every epoch has the same order",
        ),
        (
            "np.random.default_rng([self.seed, 1, step])",
            "np.random.default_rng([self.seed, 1, position])",
            "every epoch shows the same images",
        ),
        (
            "replace=len(members) < k",
            "replace=True",
            "images sampled twice where there are enough",
        ),
        (
            "start = position * self.identities_per_batch",
            "start = position",
            "identities come twice an epoch",
        ),
        (
            "if num_ids < self.identities_per_batch:",
            "if num_ids <= self.identities_per_batch:",
            "a set of just as many identities as a batch is refused",
        ),
    ),
    *of("data/augment.py", "data/test_augment.py")(
        (
            "STD = np.array([0.229, 0.224, 0.225]",
            "STD = np.array([0.225, 0.224, 0.229]",
            "another normalization than ImageNet's",
        ),
        ("-MEAN / STD", "-MEAN", "another normalization than ImageNet's"),
        (
            "images[:, :, ::-1], images)",
            "images[:, ::-1], images)",
            "images upside down in place of mirrored",
        ),
        (
            "jax.random.bernoulli(flip_key, float(data.flip_probability)",
            "jax.random.bernoulli(flip_key, 0.5",
            "data.flip_probability ignored",
        ),
        (
            "jax.random.bernoulli(chance_key, float(probability), (n, 1, 1))",
            "jax.random.bernoulli(chance_key, float(probability), (1, 1, 1))",
            "all images of a batch are erased, or none",
        ),
        (
            "jnp.where(square[..., None], 0.0, normalize(images))",
            "normalize(jnp.where(square[..., None], 0, images))",
            "the square is black in place of the mean color",
        ),
        (
            "0, 2 * padding + 1)",
            "0, 2 * padding)",
            "the last crop never comes",
        ),
        (
            "jax.random.randint(top_key, (n, 1, 1), 0, h - size + 1)",
            "jax.random.randint(top_key, (n, 1, 1), 0, h - size)",
            "the last rows are never erased",
        ),
        (
            "_square(erase_key,",
            "_square(flip_key,",
            "mirrored images are the erased ones",
        ),
        (
            "minval=1 - strength, maxval=1 + strength",
            "minval=1 - strength, maxval=1",
            "jitter only darkens",
        ),
        (
            "mean + (pixels - mean) * contrast, 0, 255",
            "mean + (pixels - mean) * brightness, 0, 255",
            "contrast follows brightness",
        ),
        (
            "GRAY = np.array([0.299, 0.587, 0.114]",
            "GRAY = np.array([0.333, 0.333, 0.334]",
            "another gray than torchvision's",
        ),
    ),
    *of("data/decode.py", "data/test_decode.py", "data/test_images.py")(
        (
            "return np.asarray(to_rgb(image).resize",
            "from PIL import ImageOps\n\n        "
            "return np.asarray(to_rgb(ImageOps.exif_transpose(image)).resize",
            "EXIF rotation applied, other pixels than the documented ones",
        ),
        (
            "size = (image_size[1], image_size[0])",
            "size = image_size",
            "images on their side",
        ),
        (
            "Image.Resampling.BILINEAR",
            "Image.Resampling.BICUBIC",
            "other pixels than torchvision's",
        ),
        ("dtype=np.int64) >> 8", "dtype=np.int64) & 255", "16-bit images are noise"),
    ),
    *of("data/loading.py", "data/test_loading.py")(
        (
            "sampler.labels[positions].astype(np.int32)",
            "np.sort(sampler.labels[positions]).astype(np.int32)",
            "labels of other images",
        ),
        (
            "count = min(batch_size, len(split) - start)",
            "count = batch_size",
            "the last batch reads past the end",
        ),
        (
            "missing = np.unique(positions[~is_cached[positions]])",
            "missing = np.unique(positions)",
            "every image is decoded every time",
        ),
    ),
    *of("data/datasets/folder/division.py", "data/test_folder_division.py", "data/test_folder.py")(
        (
            "count = round(train_fraction * len(identities))",
            "count = int(train_fraction * len(identities))",
            "a training identity fewer",
        ),
        (
            "count = min(max(count, 1), len(identities) - 1)",
            "count = max(count, 1)",
            "nobody is left to test on",
        ),
        (
            "if len(group) > 1]",
            "if len(group) > 0]",
            "queries without a match",
        ),
        (
            "chosen = set(identities[:count])",
            "chosen = set(identities[-count:])",
            "another division of sets that were divided before",
        ),
    ),
    *of("data/datasets/market1501.py", "data/test_layouts.py")(
        (
            "if identity == JUNK:",
            "if identity <= 0:",
            "distractors are dropped",
        ),
    ),
    *of("data/source_images.py", "data/test_prepare.py", "data/test_build.py")(
        (
            "hashlib.sha256(image).hexdigest()",
            "hashlib.sha256(path.encode()).hexdigest()",
            "a set whose images changed has its old fingerprint",
        ),
    ),
    *of("data/unknown_cameras.py", "data/test_folder.py")(
        (
            "image[path] = _content(base / path) if may_be_copies else path",
            "image[path] = path",
            "a query without a camera finds its own copy",
        ),
    ),
    *of("data/datasets/msmt17.py", "data/test_layouts.py")(
        (
            '((train, "list_train.txt"), (train, "list_val.txt"))',
            '((train, "list_train.txt"),)',
            "MSMT17 without its validation images",
        ),
    ),
    *of("data/datasets/cuhk03.py", "data/test_cuhk03.py")(
        (
            "name = names[index - 1]",
            "name = names[index - 2]",
            "CUHK03's images shifted by one",
        ),
        (
            "pixels = np.ascontiguousarray(cell[()].T)",
            "pixels = np.ascontiguousarray(cell[()].T[:, ::-1])",
            "mirrored images",
        ),
    ),
]
