# The vision worker, for CPU. Build from the project's root:
#   docker build -f deploy/docker/vision-worker.Dockerfile -t talkup-vision-worker .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON}
ARG PIP_INDEX_URL
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin talkup
WORKDIR /app
COPY deploy/requirements/vision.txt deploy/requirements/vision-models.txt ./
RUN pip install --require-hashes -r vision.txt \
    && pip install --require-hashes --no-deps -r vision-models.txt \
    && install -d -o talkup -g talkup /models
COPY generated/talkup ./talkup
COPY settings ./settings
COPY tracing ./tracing
COPY multiplex ./multiplex
COPY workers ./workers
COPY deploy/docker/worker_health.py ./worker_health.py
ENV WORKER_PORT=50052 WORKER_METRICS_PORT=9090 WORKER_MODEL_CACHE=/models
EXPOSE 50052 9090
VOLUME /models
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "worker_health.py"]
STOPSIGNAL SIGTERM
USER 10001
ENTRYPOINT ["python", "-m", "workers", "vision"]
