#!/usr/bin/env bash
# Asks in a container whose a model is: no network, no rights, and nothing to write to but the registry.
#
#   docker build --tag nullprint .
#   examples/audit_in_docker.sh suspect.safetensors --forbid ours --arch timm:resnet18
#
# The file's folder is shown to it, to be read only; the registry is in the volume nullprint, or in a
# folder that user 10001 may write: NULLPRINT_DATA=/srv/nullprint. Exit codes are those of fp.
set -euo pipefail

suspect="$1"
shift
folder="$(cd "$(dirname -- "$suspect")" && pwd)"
exec docker run --rm --read-only --tmpfs /tmp --network none \
    --cap-drop ALL --security-opt no-new-privileges --pids-limit 512 \
    --volume "$folder:/work:ro" --volume "${NULLPRINT_DATA:-nullprint}:/data" \
    "${NULLPRINT_IMAGE:-nullprint}" verify "$@" -- "$(basename -- "$suspect")"
