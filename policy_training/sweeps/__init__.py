"""Many runs from one file, and their page. May import everything of policy_training."""
