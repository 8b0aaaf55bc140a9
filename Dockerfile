# Build: make image. Nothing but the locked dependencies and the wheel; runs as nobody on a read-only root.
FROM python:3.13-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir uv
COPY pyproject.toml uv.lock README.md ./
COPY operator ./operator
ENV UV_PROJECT_ENVIRONMENT=/opt/stopgap UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN uv sync --frozen --no-dev --no-editable --extra postgres

FROM python:3.13-slim
COPY --from=build /opt/stopgap /opt/stopgap
ENV PATH=/opt/stopgap/bin:$PATH PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["stopgap"]
CMD ["run"]
