# The image of px-node, px-csi and pxctl. No compiler: koffi and crc32 bring
# prebuilt libraries inside their npm packages.
ARG NODE_IMAGE=node:24-bookworm-slim
# Debian's etcd is years old; the one that nodes embed is a current one.
ARG ETCD_IMAGE=gcr.io/etcd-development/etcd:v3.6.5

FROM ${ETCD_IMAGE} AS etcd

FROM ${NODE_IMAGE} AS build
WORKDIR /px
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY proto ./proto
COPY src ./src
RUN npm run -s gen && npx tsc -p tsconfig.json

FROM ${NODE_IMAGE} AS packages
WORKDIR /px
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM ${NODE_IMAGE}
# Formatting and checking file systems, loop devices and mounts.
RUN apt-get update \
  && apt-get install -y --no-install-recommends e2fsprogs mount util-linux xfsprogs \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /px
COPY --from=etcd /usr/local/bin/etcd /usr/local/bin/etcd
COPY --from=packages /px/node_modules ./node_modules
COPY --from=build /px/dist ./dist
COPY package.json LICENSE ./
COPY proto ./proto
RUN ln -s /px/dist/src/dataplane/node/main.js /usr/local/bin/px-node \
  && ln -s /px/dist/src/csi/main.js /usr/local/bin/px-csi \
  && ln -s /px/dist/src/pxctl/main.js /usr/local/bin/pxctl \
  && chmod +x dist/src/dataplane/node/main.js dist/src/csi/main.js dist/src/pxctl/main.js
ENV NODE_ENV=production
CMD ["px-node", "--config", "/etc/pwx/config.json"]
