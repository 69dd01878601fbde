#!/usr/bin/env bash
# sbatch examples/slurm.sh fig3 fig4 --seeds 10
#
# One study on eight nodes that share this folder. Each node runs its part of the runs and stores them in `results`. A run
# that is cut off saves its state: submit the same line again, and it goes on there. What is still missing, and the report:
#   zeroinit reproduce fig3 fig4 --seeds 10 --missing
#   zeroinit report fig3 fig4 --seeds 10
#SBATCH --job-name=zeroinit
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --output=zeroinit-%A-%a.log
set -euo pipefail
part=$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN + 1))
# exec: the signal that Slurm sends a minute before the end reaches zeroinit itself
exec zeroinit reproduce "$@" --yes \
    --shard "$part/$SLURM_ARRAY_TASK_COUNT" \
    --jobs "${SLURM_CPUS_PER_TASK:-1}" \
    --results "${ZEROINIT_RESULTS:-results}"
