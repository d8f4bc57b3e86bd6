# One image, three commands: code server (default), webserver, daemon.
#   docker run IMAGE
#   docker run IMAGE dagster-webserver --host 0.0.0.0 --port 3000 --workspace workspace.yaml
#   docker run IMAGE dagster-daemon run --workspace workspace.yaml
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY integration_assets integration_assets
RUN /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 integration && mkdir -p /app/data /app/.dagster && chown -R integration /app
COPY --from=build /venv /venv
WORKDIR /app
COPY --chown=integration workspace.yaml pyproject.toml ./
COPY --chown=integration dagster.yaml .dagster/dagster.yaml
ENV PATH=/venv/bin:$PATH DAGSTER_HOME=/app/.dagster PYTHONUNBUFFERED=1
USER integration
VOLUME ["/app/data", "/app/.dagster"]
EXPOSE 3000 4000
HEALTHCHECK --interval=30s --timeout=5s CMD ["dagster", "api", "grpc-health-check", "--port", "4000"]
CMD ["dagster", "code-server", "start", "--host", "0.0.0.0", "--port", "4000", "--module-name", "integration_assets.definitions"]
