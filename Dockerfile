# The image: one static binary, the CA certificates for venues, and an empty data directory. No shell, no packages, no root.
#
#   docker build -t crossmarket .      (or buildah build; podman build)
#
# The same sources, builder image and SOURCE_DATE_EPOCH give the same binary: locked dependencies, no build paths, no build id.
ARG BUILDER=rust:1-bookworm
FROM ${BUILDER} AS build
ARG SOURCE_DATE_EPOCH=0
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
WORKDIR /src
# Embeds the list of dependencies into the binary, where scanners (syft, trivy, grype, cargo audit bin) read it.
RUN cargo install --quiet --locked --root /tools cargo-auditable@0.7.7
COPY . .
# An explicit target keeps static linking away from build scripts and procedural macros.
RUN --mount=type=cache,target=/src/target \
    target=$(rustc --print host-tuple) && \
    export PATH=/tools/bin:$PATH && \
    export RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,--build-id=none --remap-path-prefix=/src=crossmarket --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo" && \
    cargo auditable build --profile dist --locked --bin crossmarket --target "$target" && \
    install -D "target/$target/dist/crossmarket" /image/crossmarket && \
    install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt && \
    mkdir /image/data

FROM scratch
LABEL org.opencontainers.image.title="crossmarket" \
      org.opencontainers.image.description="Market data over gRPC, with the provenance of every figure" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build --chown=65532:65532 /image/ /
# A number, so that Kubernetes can verify that it is not root.
USER 65532:65532
# 50051 is gRPC, 9090 probes and metrics. The embedded store, if used, is in /data.
EXPOSE 50051 9090
ENTRYPOINT ["/crossmarket"]
CMD ["serve", "--listen", "0.0.0.0:50051", "--admin-listen", "0.0.0.0:9090"]
