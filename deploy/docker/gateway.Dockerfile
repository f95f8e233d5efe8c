# The gateway: no Whisper, no OpenCV, no weights. Build from the project's root:
#   docker build -f deploy/docker/gateway.Dockerfile --target gateway -t talkup-gateway .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin talkup
WORKDIR /app

# Runs once: writes the private CA and the certificates for mutual TLS between gateway and workers.
FROM base AS certs
ARG PIP_INDEX_URL
COPY deploy/requirements/tls.txt ./requirements.txt
RUN pip install --require-hashes -r requirements.txt && install -d -o talkup -g talkup /tls
COPY gateway/__init__.py gateway/__init__.py
COPY gateway/certificates/__init__.py gateway/certificates/authority.py gateway/certificates/
COPY deploy/dev/certs.py ./certs.py
USER 10001
VOLUME /tls
ENTRYPOINT ["python", "certs.py", "/tls"]

FROM base AS gateway
ARG PIP_INDEX_URL
COPY deploy/requirements/gateway.txt ./requirements.txt
RUN pip install --require-hashes -r requirements.txt && install -d -o talkup -g talkup /data
COPY generated/talkup ./talkup
COPY settings ./settings
COPY tracing ./tracing
COPY multiplex ./multiplex
COPY gateway ./gateway
COPY deploy/docker/gateway_health.py ./gateway_health.py
USER 10001
VOLUME /data
EXPOSE 8080 8081 8443
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "gateway_health.py"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "gateway"]
