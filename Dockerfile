# An image from source: docker build -t registry .
# (`deploy/image` makes the same image of a binary that is built outside of Docker.)
#
# RUST_IMAGE needs cargo, a C compiler, glibc from 2.34 on, and Debian's ca-certificates.
ARG RUST_IMAGE=docker.io/library/rust:1.90-bookworm
FROM ${RUST_IMAGE} AS build
# What `registry --version` names.
ARG BUILD_COMMIT=
WORKDIR /source
COPY . .
RUN binary="$(deploy/binary)" && \
    deploy/rootfs /image "$binary"

FROM scratch
COPY --from=build /image/rootfs/ /
COPY --from=build --chown=65532:65532 /image/data/ /var/lib/
# Started as root it takes its folder over and then becomes this user; started as anyone else (`--user`) it just serves.
ENV PATH=/bin REGISTRY_RUN_AS=65532:65532 REGISTRY_CONFIGURATION_PATH=/etc/docker/registry/config.yml
VOLUME /var/lib/registry
EXPOSE 5000
HEALTHCHECK --interval=15s --timeout=10s --start-period=5m CMD ["/bin/registry", "health"]
ENTRYPOINT ["/bin/registry"]
CMD ["serve"]
