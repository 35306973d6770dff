#!/usr/bin/env bash
# Writes the run folders that tests/training/runs/test_old_runs.py reads. Those in runs/ were made at the commit that their
# provenance.json names. They stay as they are when the code changes: that is what they are for.
set -euo pipefail
cd "$(dirname "$0")/../.."
made=$(mktemp -d)
common=(--env Nav2D-v0 --seed 1 --hidden 4 4 --no-progress --runs "$made")
python -m spillguard.cli train --algo meta_sac_lag "${common[@]}" --steps 60 --warmup 20 --eval-every 30 --eval-episodes 2 \
    --log-every 20 --prior-episodes 1 --ema-decay 0.9 --batch-size 4 --capacity 32 --violation-capacity 8 --initial-capacity 8
python -m spillguard.cli train --algo cpo "${common[@]}" --steps 240 --samples 120 --envs 1 --critic-epochs 1
for run in "$made"/*/*/*; do
    python -m spillguard.cli evaluate "$run" --episodes 2 --no-picture
    kept=tests/data/runs/$(basename "$(dirname "$run")")
    mkdir -p "$kept/evaluation"
    cp "$run"/*.json "$run"/*.pt "$run/progress.csv" "$kept/"
    cp "$run/evaluation/episodes.csv" "$kept/evaluation/"
done
