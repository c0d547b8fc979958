# A service of text apps, without PyTorch: onetrunk serve, on the bundle in /models/bundle.
#
#   docker build --tag onetrunk .
#   docker run --publish 127.0.0.1:8000:8000 --volume "$PWD/models:/models" onetrunk

FROM python:3.13-slim-trixie AS build
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve]'

FROM python:3.13-slim-trixie
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Changes of apps are written beside the bundle: /models must be writable for this user.
USER 10001:10001
WORKDIR /models
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD \
    ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["onetrunk", "serve", "--host", "0.0.0.0"]
CMD ["/models/bundle"]
