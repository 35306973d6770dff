"""The one list of update rules."""

from policy_training.optimizers.learned_baselines import L2lgd2, LinearOptim
from policy_training.optimizers.optim4rl import Optim4RL
from policy_training.optimizers.rules import Adam, RmsProp, Sign, UpdateRule
from policy_training.optimizers.star import Star

HAND_MADE: dict[str, UpdateRule] = {rule.name: rule for rule in (Adam(), RmsProp(), Sign())}
LEARNED: dict[str, UpdateRule] = {rule.name: rule for rule in (Optim4RL(), L2lgd2(), LinearOptim(), Star())}
RULES = {**HAND_MADE, **LEARNED}
