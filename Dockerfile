# fp in a container: a user without rights, which needs to write nothing but /data and /tmp.
#
#   docker build --tag nullprint .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     --network none --volume "$PWD:/work:ro" --volume nullprint:/data \
#     nullprint verify suspect.safetensors --forbid ours
#
# EXTRAS=onnx,attest among the build's arguments adds extras.
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
ARG EXTRAS=""
# The wheels of torch for processors; those for GPUs are larger by gigabytes.
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY fingerprint ./fingerprint
COPY registry ./registry
COPY cli ./cli
RUN python -m venv /opt/nullprint \
    && /opt/nullprint/bin/python -m pip install ".${EXTRAS:+[$EXTRAS]}" \
    && /opt/nullprint/bin/python -m pip uninstall --yes pip

FROM python:${PYTHON}
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin nullprint \
    && install --directory --owner=nullprint --group=nullprint --mode=0700 /data \
    && install --directory /work
COPY --from=build /opt/nullprint /opt/nullprint
# Whatever asks torch to unpickle anything gets tensors or an error.
ENV PATH=/opt/nullprint/bin:$PATH \
    FP_REGISTRY=/data/registry.db \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TORCH_FORCE_WEIGHTS_ONLY_LOAD=1
USER 10001:10001
WORKDIR /work
VOLUME /data
ENTRYPOINT ["fp"]
CMD ["--help"]
