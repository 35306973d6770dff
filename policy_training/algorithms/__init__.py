"""The one list of algorithms."""

from policy_training.algorithms.cpo import Cpo, CpoConfig
from policy_training.algorithms.crpo import Crpo, CrpoConfig
from policy_training.algorithms.cup import Cup, CupConfig
from policy_training.algorithms.espo import Espo, EspoConfig
from policy_training.algorithms.meta_sac_lag import MetaSacLag, MetaSacLagConfig
from policy_training.algorithms.pcpo import Pcpo, PcpoConfig
from policy_training.algorithms.pcrpo import Pcrpo, PcrpoConfig
from policy_training.algorithms.ppo_lag import PpoLag, PpoLagConfig
from policy_training.algorithms.sac import Sac, SacConfig
from policy_training.algorithms.sac_lag import SacLag, SacLagConfig
from policy_training.algorithms.trpo_lag import TrpoLag, TrpoLagConfig

OFF_POLICY = {"sac": Sac, "sac_lag": SacLag, "meta_sac_lag": MetaSacLag}
ON_POLICY = {
    "ppo_lag": PpoLag,
    "trpo_lag": TrpoLag,
    "cpo": Cpo,
    "pcpo": Pcpo,
    "cup": Cup,
    "crpo": Crpo,
    "pcrpo": Pcrpo,
    "espo": Espo,
}
ALGORITHMS = {**OFF_POLICY, **ON_POLICY}
CONFIGS = {
    "sac": SacConfig,
    "sac_lag": SacLagConfig,
    "meta_sac_lag": MetaSacLagConfig,
    "ppo_lag": PpoLagConfig,
    "trpo_lag": TrpoLagConfig,
    "cpo": CpoConfig,
    "pcpo": PcpoConfig,
    "cup": CupConfig,
    "crpo": CrpoConfig,
    "pcrpo": PcrpoConfig,
    "espo": EspoConfig,
}

AlgorithmConfig = (
    SacConfig
    | SacLagConfig
    | MetaSacLagConfig
    | PpoLagConfig
    | TrpoLagConfig
    | CpoConfig
    | PcpoConfig
    | CupConfig
    | CrpoConfig
    | PcrpoConfig
    | EspoConfig
)
