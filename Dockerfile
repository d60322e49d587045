# The image of px-node, px-csi, px-operator and pxctl.
# Where no registry of images is reachable, arguments replace the three bases.
ARG NODE_IMAGE=node:24-bookworm-slim
# Of NODE_IMAGE's release of Debian: Node's program is copied from one to the other.
ARG BASE_IMAGE=debian:bookworm-slim
# Debian's etcd is years old; the one that nodes embed is a current one.
ARG ETCD_IMAGE=gcr.io/etcd-development/etcd:v3.6.16

FROM ${ETCD_IMAGE} AS etcd

FROM ${NODE_IMAGE} AS packages
WORKDIR /px
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund

FROM packages AS build
COPY tsconfig.json ./
COPY proto ./proto
COPY src ./src
RUN npm run -s gen \
  && npx tsc -p tsconfig.json --sourceMap false --incremental false --tsBuildInfoFile null \
  && chmod +x dist/src/dataplane/node/main.js dist/src/csi/main.js \
  dist/src/operator/main.js dist/src/pxctl/main.js

# What only a developer or a compiler reads is half of what npm installs, and
# bare-* libraries are for another runtime than Node. Licences stay.
FROM packages AS production
RUN npm prune --omit=dev --no-audit --no-fund \
  && find node_modules -type f -regextype posix-extended \
  -regex '.*\.(d\.[mc]?ts|test\.[mc]?js|map|md|tsbuildinfo|c|cc|cpp|h|hh|S|asm|def|inc)' -delete \
  && rm -rf node_modules/.bin node_modules/@types node_modules/bare-*/prebuilds \
  && find node_modules -type d -empty -delete \
  && node -e "require('koffi'); require('@node-rs/crc32'); import('@kubernetes/client-node')"

FROM ${BASE_IMAGE}
# Formatting and checking file systems, loop devices, mounts and namespaces.
# xfsprogs wants Python and ICU (70 MB) for xfs_scrub alone, which nothing here
# runs; dpkg keeps its record of the package, so that scanners see it.
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  e2fsprogs libblkid1 libdevmapper1.02.1 libedit2 libinih1 libstdc++6 liburcu8 libuuid1 \
  mount util-linux \
  && cd /tmp && apt-get download xfsprogs \
  && dpkg --install --force-depends xfsprogs_*.deb \
  && rm -rf /tmp/* /usr/sbin/xfs_scrub* /usr/share/doc/* /usr/share/man/* /var/lib/apt/lists/* \
  /var/cache/apt/* /var/cache/debconf/*-old /var/cache/ldconfig/aux-cache \
  /var/lib/dpkg/*-old /var/log/*
WORKDIR /px
COPY --from=etcd /usr/local/bin/etcd /usr/local/bin/etcd
COPY --from=packages /usr/local/bin/node /usr/local/bin/node
COPY --from=production /px/node_modules ./node_modules
RUN ln -s /px/dist/src/dataplane/node/main.js /usr/local/bin/px-node \
  && ln -s /px/dist/src/csi/main.js /usr/local/bin/px-csi \
  && ln -s /px/dist/src/operator/main.js /usr/local/bin/px-operator \
  && ln -s /px/dist/src/pxctl/main.js /usr/local/bin/pxctl
COPY package.json LICENSE ./
COPY proto ./proto
COPY --from=build /px/dist ./dist
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="px" \
  org.opencontainers.image.description="Replicated block storage for Kubernetes" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"
ENV NODE_ENV=production
# px-node and the CSI node plugin mount and format: they need root. The operator and
# the CSI controller do not; their pods say runAsUser.
CMD ["px-node", "--config", "/etc/pwx/config.json"]
