# syntax=docker/dockerfile:1

# ── build ────────────────────────────────────────────────────────────────────────────────────────
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Dependencies and what is compiled stay between builds; the binary is copied out of the cache.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --package chat-server \
    && install -D target/dist/chat-server /out/chat-server

# ── what is shipped ──────────────────────────────────────────────────────────────────────────────
FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="chat-server" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
# Whom a Redis behind TLS is trusted by; SSL_CERT_FILE names others.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin chat
COPY --from=build /out/chat-server /usr/local/bin/chat-server
# The default store, data/chat.db, is in this volume.
RUN install --directory --owner chat /var/lib/chat/data
WORKDIR /var/lib/chat
VOLUME /var/lib/chat/data
USER chat
EXPOSE 8080
# Asks the server in this container whether it is ready; the image needs no curl. It sees variables, not
# the flags after the image's name: with TLS, say CHAT_TLS_CERT and CHAT_TLS_KEY.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/chat-server", "health"]
# SIGTERM drains: `docker stop --time 40` gives it the time.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/chat-server"]
# Refused as it stands: who is let in has to be decided, and the refusal names the flags.
CMD ["--listen", "0.0.0.0:8080"]
