"""The paper's row beside a run's figures."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from pmm_jax.config import Config, DataConfig, MethodConfig
from pmm_jax.report.sections import result


def test_the_paper_s_figures_are_of_its_data_set_and_method() -> None:
    def paper(method: Any = "pmm", name: str = "market1501", queries: int = 3368) -> Any:
        query = SimpleNamespace(identities=np.zeros(queries))
        config = Config(data=DataConfig(name=name), method=MethodConfig(name=method))
        run: Any = SimpleNamespace(config=config, embeddings=(query, query))
        return result._paper(run)

    assert paper() == {"rank1": 0.941, "mAP": 0.852}
    assert paper(name="dukemtmc", queries=2228) == {"rank1": 0.880, "mAP": 0.746}
    assert paper(queries=3367) is None
    assert paper(method="bdb") is None
    assert paper(name="folder") is None
