"""The one list of algorithms."""

from policy_training.algorithms.meta_sac_lag import MetaSacLag, MetaSacLagConfig
from policy_training.algorithms.ppo_lag import PpoLag, PpoLagConfig
from policy_training.algorithms.sac import Sac, SacConfig
from policy_training.algorithms.sac_lag import SacLag, SacLagConfig

OFF_POLICY = {"sac": Sac, "sac_lag": SacLag, "meta_sac_lag": MetaSacLag}
ON_POLICY = {"ppo_lag": PpoLag}
ALGORITHMS = {**OFF_POLICY, **ON_POLICY}
CONFIGS = {
    "sac": SacConfig,
    "sac_lag": SacLagConfig,
    "meta_sac_lag": MetaSacLagConfig,
    "ppo_lag": PpoLagConfig,
}

AlgorithmConfig = SacConfig | SacLagConfig | MetaSacLagConfig | PpoLagConfig
