# Two images: `serving` is the service alone, `training` the `zeroskew` command with Feast and LightGBM.
#
#   docker build --target serving  -t zeroskew-serving:0.1.0  .
#   docker build --target training -t zeroskew-training:0.1.0 .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# --- what both are built from: tools in one place, what they install in another ---------------
FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 \
    UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=1
WORKDIR /build
COPY requirements/image.lock requirements/
RUN python -m venv /opt/tools \
    && /opt/tools/bin/pip install -q --require-hashes -r requirements/image.lock \
    && python -m venv --without-pip /opt/zeroskew
ENV PATH=/opt/tools/bin:$PATH VIRTUAL_ENV=/opt/zeroskew

FROM build AS wheels
COPY pyproject.toml README.md LICENSE ./
COPY packaging packaging
COPY zeroskew zeroskew
COPY api api
COPY training training
RUN uv build -q --wheel --no-build-isolation --python /opt/tools/bin/python -o /wheels/training . \
    && uv build -q --wheel --no-build-isolation --python /opt/tools/bin/python -o /wheels/serving \
       packaging/serving

FROM build AS build-serving
COPY requirements/serving.lock requirements/
RUN uv pip install -q --require-hashes -r requirements/serving.lock
COPY --from=wheels /wheels/serving /wheels
RUN uv pip install -q --no-deps /wheels/*.whl \
    && cyclonedx-py environment --output-reproducible --of JSON \
       -o /opt/zeroskew/sbom.cdx.json /opt/zeroskew/bin/python

FROM build AS build-training
COPY requirements/run.lock requirements/
RUN uv pip install -q --require-hashes -r requirements/run.lock
COPY --from=wheels /wheels/training /wheels
RUN uv pip install -q --no-deps /wheels/*.whl \
    && cyclonedx-py environment --output-reproducible --of JSON \
       -o /opt/zeroskew/sbom.cdx.json /opt/zeroskew/bin/python

# --- what both run as ------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS run
# The image installs nothing when it runs.
RUN python -m pip uninstall -q -y pip setuptools wheel 2>/dev/null; \
    groupadd --gid 10001 zeroskew \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/zeroskew \
       --shell /usr/sbin/nologin zeroskew \
    && install -d -o 10001 -g 10001 /var/lib/zeroskew /srv/zeroskew /srv/zeroskew/var
ENV PATH=/opt/zeroskew/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=passive \
    ZEROSKEW_HOST=0.0.0.0 \
    ZEROSKEW_LOG_FORMAT=json \
    ZEROSKEW_DATABASE_URL=sqlite:////var/lib/zeroskew/zeroskew.db \
    ZEROSKEW_ONLINE_STORE=sqlite:////var/lib/zeroskew/feast/online.db \
    ZEROSKEW_ARTIFACTS_DIR=/var/lib/zeroskew/artifacts \
    ZEROSKEW_ARTIFACTS_CACHE_DIR=/var/lib/zeroskew/artifacts_cache \
    ZEROSKEW_LOG_SPOOL_DIR=/var/lib/zeroskew/spool
WORKDIR /srv/zeroskew
VOLUME /var/lib/zeroskew
USER 10001:10001
LABEL org.opencontainers.image.title="Zeroskew" \
      org.opencontainers.image.description="Serves tabular models from a Feast feature store." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"

FROM run AS training
USER 0:0
# LightGBM's threads.
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends libgomp1=12.* \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001
ENV ZEROSKEW_HOME=/var/lib/zeroskew ZEROSKEW_MODELS=training/models
COPY --from=build-training /opt/zeroskew /opt/zeroskew
# The worked example; a project of your own has a Dockerfile that puts itself in its place.
COPY feature_repo feature_repo
COPY training/models training/models
HEALTHCHECK NONE
ENTRYPOINT ["zeroskew"]
CMD ["--help"]

FROM run AS serving
COPY --from=build-serving /opt/zeroskew /opt/zeroskew
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('ZEROSKEW_PORT', '8000') + '/livez', timeout=2)"]
# Nothing is imported from the folder it is started in.
ENTRYPOINT ["python", "-P", "-m", "api"]
