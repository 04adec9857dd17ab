"""Wrong changes to what comes out of embeddings."""

from tests.mutants.mutant import of

MUTANTS = [
    *of("evaluation/metrics.py", "evaluation/test_metrics.py")(
        (
            "first[first <= max_rank]",
            "first[first < max_rank]",
            "CMC's last rank left out",
        ),
        ("return float(self.cmc[4])", "return float(self.cmc[5])", "Rank-5 is Rank-6"),
        ("return float(self.cmc[9])", "return float(self.cmc[10])", "Rank-10 is Rank-11"),
        (
            "np.where(ranks <= CUTOFF, precision, 0)",
            "np.where(ranks < CUTOFF, precision, 0)",
            "mAP@50 without rank 50",
        ),
        (
            "precision = position / ranks",
            "precision = 1 / ranks",
            "average precision of the first match alone",
        ),
        (
            "self._values[queries, 1] = precision[ends - 1]",
            "self._values[queries, 1] = precision[starts]",
            "mINP by the first match",
        ),
        (
            "cmc=np.cumsum(hits) / len(first)",
            "cmc=np.cumsum(hits) / self._protocol.queries",
            "queries without a match count as missed",
        ),
        ("if max_rank < 10:", "if max_rank < 9:", "a CMC too short for Rank-10"),
    ),
    *of("evaluation/row.py", "evaluation/test_row.py", "evaluation/test_metrics.py")(
        (
            "earlier = left_out[:, None] < matches",
            "earlier = left_out[:, None] > matches",
            "ties rank against gallery order",
        ),
        (
            "np.count_nonzero(row[: matches[index]] == distances[index])",
            "0",
            "ties count for the match",
        ),
        ("[before] - 2 * width <= high", "[before] <= high", "an other that begins before it ends"),
        ('high[is_open], "right")', 'low[is_open], "right")', "a match's own error forgotten"),
        ("np.lexsort((images, exact))", "np.argsort(exact)", "ties of open pairs in any order"),
    ),
    *of(
        "evaluation/market_protocol.py",
        "evaluation/test_metrics.py",
        "evaluation/test_embeddings.py",
    )(
        (
            "return images[self._cameras[images] != self._own[query]]",
            "return images",
            "the same-camera rule ignored",
        ),
        (
            "return self.kept[self.gallery_ids[self.kept] != self.query_ids[query]]",
            "return np.flatnonzero(self.gallery_ids != self.query_ids[query])",
            "junk counts",
        ),
        (
            "self._end[self.query_ids == JUNK] = self._start[self.query_ids == JUNK]\n        ",
            "",
            "queries of identity -1 find junk",
        ),
    ),
    *of("evaluation/counting.py", "evaluation/test_embeddings.py")(
        (
            "(theirs != mine) & (theirs != JUNK)",
            "theirs != JUNK",
            "images of one's own camera count",
        ),
        (
            "distances = jnp.where(is_open, jnp.inf, distances)\n    return",
            "return",
            "close pairs count twice",
        ),
        (
            "low, high = thresholds - error, thresholds + error",
            "low, high = thresholds, thresholds",
            "float32's rounding decides ties",
        ),
    ),
    *of("evaluation/streaming.py", "evaluation/test_embeddings.py")(
        (
            "(image[:, None] < batch.images[column])",
            "(image[:, None] > batch.images[column])",
            "ties rank against gallery order",
        ),
        (
            "closer = distances[:, None] < matches",
            "closer = distances[:, None] <= matches",
            "ties count against the match",
        ),
        (
            "distances[unsure] = self._distances.pairs(query[unsure], image[unsure])",
            "distances[unsure] += 0",
            "rounding decides close pairs",
        ),
        (
            "is_few = counts <= (0 if by_row else FEW_MATCHES)",
            "is_few = counts >= 0",
            "a far embedding makes all others tie or costs minutes",
        ),
        (
            "starts[shard.index :: shard.count]",
            "starts[:: shard.count]",
            "several processes count the same queries",
            "evaluation/test_embeddings.py",
        ),
        (
            "images = self._kept[start : start + self._block]",
            "images = self._kept[start : start + self._block - 1]",
            "gallery images are left out",
        ),
    ),
    *of("evaluation/distances.py", "evaluation/test_distances.py")(
        (
            "return self._rounding * np.square(lengths) + self._lost * (lengths > 0)",
            "return 0 * self._rounding * np.square(lengths)",
            "rounding decides close pairs",
        ),
        (
            "result -= self._center",
            "result -= 0",
            "embeddings far from 0 tie",
        ),
        ("a *= -2", "a *= -1", "wrong distances"),
    ),
    *of("evaluation/reranking.py", "evaluation/test_reranking.py")(
        (
            "row *= weight / near.farthest[i]",
            "row *= 0.3 / near.farthest[i]",
            "the weight of re-ranking half ignored",
        ),
        (
            "row += (1 - weight) * jaccard",
            "row += weight * jaccard",
            "the weight of re-ranking swapped",
        ),
        (
            "_averaged(near.indices[:, :k2])",
            "_averaged(near.indices[:, : k2 + 1])",
            "k2 one more",
        ),
        (
            "shared > 2 / 3 * theirs_mutual.sum(-1)",
            "shared >= 1 / 2 * theirs_mutual.sum(-1)",
            "sets expanded too often",
        ),
        ("return 1 - shared / (2 - shared)", "return 1 - shared / 2", "not Jaccard's distance"),
        ("np.exp(-distances", "np.exp(distances", "far neighbors weigh most"),
    ),
    *of("evaluation/evaluate.py", "evaluation/test_protocols.py", "evaluation/test_summary.py")(
        (
            "settings.k1, settings.k2, settings.rerank_lambda, progress",
            "settings.k1, settings.k2, 0.3, progress",
            "evaluate.rerank_lambda ignored",
        ),
        (
            "settings.k1, settings.k2, settings.rerank_lambda, progress",
            "settings.k1, 6, settings.rerank_lambda, progress",
            "re-ranking's k2 ignored",
        ),
        (
            "num_repeats, seed = settings.single_shot, settings.seed",
            "num_repeats, seed = settings.single_shot, 0",
            "single-shot's seed ignored",
        ),
        (
            "multi_query(query, gallery, settings.multi_query)",
            'multi_query(query, gallery, "average")',
            "multi-query's max ignored",
        ),
        (
            "            settings.index_top_n,\n",
            "            1000,\n",
            "evaluate.index_top_n ignored",
        ),
        (
            "            settings.nprobe,\n",
            "            16,\n",
            "evaluate.nprobe ignored",
        ),
        (
            "augment_gallery(raw_gallery, settings.dba_k, settings.qe_alpha)",
            "augment_gallery(raw_gallery, settings.dba_k, 3.0)",
            "alpha ignored for the gallery",
        ),
        (
            "expand_queries(raw_query, raw_gallery, settings.query_expansion_k, settings.qe_alpha)",
            "expand_queries(raw_query, gallery.features, 1, settings.qe_alpha)",
            "expansion by one neighbor alone",
        ),
        (
            'if settings.distance == "cosine":',
            "if False:",
            "cosine distance ignored",
        ),
        (
            "    if not settings.cameras:\n",
            "    if False:\n",
            "--no-cameras ignored",
        ),
    ),
    *of("evaluation/summary.py", "evaluation/test_summary.py")(
        (
            '"rank1": metrics.hits,',
            '"rank1": metrics.average_precision,',
            "Rank-1's interval is mAP's",
        ),
        (
            '"mINP": metrics.inverse_negative_penalty,',
            '"mINP": metrics.average_precision,',
            "mINP's interval is mAP's",
        ),
        (
            "_intervals(result, settings.seed)",
            "_intervals(result, 0)",
            "the seed of intervals ignored",
        ),
        (
            "pairs.camera_pairs(query, gallery, query_block)",
            "pairs.camera_pairs(gallery, query, query_block)",
            "rows and columns of camera pairs swapped",
        ),
    ),
    *of("evaluation/camera_pairs.py", "evaluation/test_camera_pairs.py")(
        (
            "mine = (query.cameras == own) & ~np.isnan(metrics.first_match)",
            "mine = ~np.isnan(metrics.first_match)",
            "every row is the whole query set's",
        ),
    ),
    *of(
        "evaluation/bootstrap.py", "evaluation/test_bootstrap.py", "ablation/test_ablation_table.py"
    )(
        (
            "difference.mean(1).std(ddof=1)",
            "difference.mean(1).std()",
            "intervals over 2 seeds 29 % too narrow",
        ),
        (
            "special.stdtrit(runs - 1, tail)",
            "special.ndtri(tail)",
            "intervals over few seeds far too narrow",
        ),
        (
            "float(np.hypot(by_run, by_query))",
            "float(by_query)",
            "the variance over seeds isn't counted",
        ),
        (
            "float(np.hypot(by_run, by_query))",
            "float(by_run)",
            "the variance over queries isn't counted",
        ),
        (
            "difference.mean(0).std() / queries**0.5",
            "difference.std() / difference.size**0.5",
            "runs count as so many queries more",
        ),
        ("tail = (1 - level) / 2", "tail = 1 - level", "90 % intervals called 95 %"),
        (
            "rng = np.random.default_rng(seed)",
            "rng = np.random.default_rng(0)",
            "the seed of intervals ignored",
        ),
    ),
    *of("evaluation/verification.py", "evaluation/test_verification.py")(
        (
            "accepted += (values < np.array",
            "accepted += (values <= np.array",
            "the threshold accepts one pair more",
        ),
        (
            "ranks = [int(rate * negatives) for rate in rates]",
            "ranks = [int(rate * negatives) + 1 for rate in rates]",
            "the threshold accepts a false pair more",
        ),
    ),
    *of("evaluation/pair_histograms.py", "evaluation/test_pair_distances.py")(
        (
            "identities, np.full(identities, 1 / identities), n_resamples",
            "1, np.full(identities, 1 / identities), n_resamples",
            "an interval of one identity at a time",
        ),
        (
            "bins = (np.sqrt(np.maximum(squares, 0)) / self.width)",
            "bins = (np.maximum(squares, 0) / self.width)",
            "histograms of squared distances",
        ),
        (
            "np.quantile(values, (0.025, 0.975), axis=1)",
            "np.quantile(values, (0.975, 0.025), axis=1)",
            "an interval's ends are swapped",
        ),
        (
            "np.floor(rate * different[:, -1])",
            "np.floor(rate * different[:, -1]) + different[:, -1] // 1000",
            "intervals allow a thousandth of the false pairs more",
        ),
    ),
    *of("evaluation/pair_distances.py", "evaluation/test_pair_distances.py")(
        (
            "point.allowed >= LEAST_ALLOWED",
            "point.allowed > LEAST_ALLOWED",
            "a rate that allows ten false pairs has no interval",
        ),
        (
            "taken = np.cumsum(sizes[order]) <= most",
            "taken = np.cumsum(sizes[order]) <= 2 * most",
            "more pairs are compared than the limit",
        ),
    ),
    *of("evaluation/projection.py", "evaluation/test_projection.py")(
        (
            "np.lexsort((names, -sizes, -cameras))",
            "np.lexsort((names, -cameras, -sizes))",
            "a map's identities by images, then cameras",
        ),
        ("~is_query[mine])", "is_query[mine])", "a map's gallery images come first"),
    ),
    *of("evaluation/protocols.py", "evaluation/test_protocols.py")(
        (
            "pool = np.add if pooling",
            "pool = np.add if not pooling",
            "multi-query's mean is a maximum",
        ),
        (
            "candidates = np.flatnonzero(gallery.cameras != camera)",
            "candidates = np.arange(len(gallery.cameras))",
            "single-shot sampling from the query's own camera",
        ),
        (
            "rng = np.random.default_rng(seed)",
            "rng = np.random.default_rng(0)",
            "single-shot's seed ignored",
        ),
    ),
    *of("evaluation/expansion.py", "evaluation/test_expansion.py")(
        (
            "_neighbor_sums(gallery, gallery, k + 1, alpha)",
            "_neighbor_sums(gallery, gallery, k, alpha)",
            "a neighbor fewer in the gallery",
        ),
        (
            "np.clip(1 - squares / 2, 0, 1)",
            "np.clip(1 - squares, 0, 1)",
            "not the cosine similarity",
        ),
    ),
    *of("evaluation/neighbors.py", "evaluation/test_neighbors.py")(
        (
            "return _Best(-near, index + first,",
            "return _Best(-near, index,",
            "neighbors of later blocks are the first block's",
        ),
    ),
    *of("evaluation/approximate.py", "evaluation/test_approximate.py")(
        (
            "seen = others[np.isin(images, protocol.matches(i))]",
            "seen = others[np.isin(images, protocol.same_identity(i))]",
            "images of one's own camera count as matches",
        ),
    ),
    *of("color_baseline.py", "test_color_baseline.py")(
        ("BINS = (8, 4, 4)", "BINS = (4, 8, 4)", "fewer bins of hue than of saturation"),
        ("np.sqrt(counts / counts.sum())", "(counts / counts.sum())", "not Hellinger's distance"),
        (
            "cameras=settings.cameras,",
            "cameras=True,",
            "--no-cameras ignored by the color baseline",
        ),
    ),
    *of("evaluation/label_errors.py", "evaluation/test_label_errors.py")(
        ("SUPPORT = 3", "SUPPORT = 1", "one image that looks alike accuses a label"),
        (
            "mean[labels == identities[:, None]] = np.inf",
            "mean[labels != identities[:, None]] = np.inf",
            "images are compared with their own identity alone",
        ),
        (
            "np.argsort(-margins, kind",
            "np.argsort(margins, kind",
            "the least sure label errors come first",
        ),
        (
            "margins = (own - other) / (own + other)",
            "margins = (other - own) / (own + other)",
            "margins below 0",
        ),
        (
            "found[np.arange(len(some)), start + np.arange(len(some))] = np.inf",
            "pass",
            "each image is the nearest one of its own identity",
        ),
        ("sides[1].min() < sides[0].min()", "sides[1].min() > sides[0].min()", "cameras disagree"),
    ),
]
