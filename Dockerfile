# medprobe with the ONNX Runtime library, for an account that is not root:
#
#	docker build -t medprobe --build-arg VERSION="$(git describe --tags --always)" .
#	docker run --rm -v "$PWD:/data" medprobe run experiment.yaml
#
# Embeddings and encoders live in /cache; give it a volume to keep them.
FROM golang:1.26-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends npm && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN make setup build VERSION="$VERSION"

FROM debian:bookworm-slim
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
	&& rm -rf /var/lib/apt/lists/* \
	&& install -d -o 10001 -g 10001 -m 0700 /cache /data
COPY --from=build /src/bin/medprobe /src/.ort/libonnxruntime.so.1 /opt/medprobe/
COPY --from=build /src/LICENSE /opt/medprobe/
ENV PATH=/opt/medprobe:$PATH HOME=/cache XDG_CACHE_HOME=/cache XDG_CONFIG_HOME=/cache/config
USER 10001:10001
WORKDIR /data
VOLUME /cache
ENTRYPOINT ["medprobe"]
CMD ["--help"]
