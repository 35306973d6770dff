"""The one list of algorithms."""

from policy_training.algorithms.meta_sac_lag import MetaSacLag, MetaSacLagConfig
from policy_training.algorithms.sac import Sac, SacConfig
from policy_training.algorithms.sac_lag import SacLag, SacLagConfig

ALGORITHMS = {"sac": Sac, "sac_lag": SacLag, "meta_sac_lag": MetaSacLag}
CONFIGS = {"sac": SacConfig, "sac_lag": SacLagConfig, "meta_sac_lag": MetaSacLagConfig}

AlgorithmConfig = SacConfig | SacLagConfig | MetaSacLagConfig
