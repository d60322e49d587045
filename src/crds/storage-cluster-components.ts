import { z } from 'zod';
import { envVars, objectName, podVolume, resourceRequirements } from './kubernetes-types.js';

/** Groups of a StorageCluster that concern programs beside the storage itself. */
const stringMap = z.record(z.string(), z.string());
const imageName = z.string().max(512);
const enabled = z.boolean().optional();

const component = {
  enabled: enabled.describe('Whether it is wanted.'),
  image: imageName.optional().describe('Its image.'),
  lockImage: z.boolean().optional().describe('Whether `image` stays when the release changes.'),
  env: envVars.optional().describe('Environment variables of its containers.'),
};

const provider = z.object({
  name: z.string().max(253).optional(),
  type: z.string().max(253).optional(),
  params: stringMap.optional(),
});

export const stork = z.object({
  ...component,
  args: stringMap.optional().describe('Its command line.'),
  hostNetwork: z.boolean().optional().describe("Whether it uses the node's network."),
  resources: resourceRequirements.optional().describe('Its resources.'),
  volumes: z.array(podVolume).max(64).optional().describe('More volumes in its pods.'),
});

export const autopilot = z.object({
  ...component,
  args: stringMap.optional().describe('Its command line.'),
  providers: z.array(provider).max(16).optional().describe('Where it reads metrics.'),
  gitops: provider.optional().describe('Where it proposes its actions.'),
  resources: resourceRequirements.optional().describe('Its resources.'),
  volumes: z.array(podVolume).max(64).optional().describe('More volumes in its pods.'),
});

export const userInterface = z.object(component);

const prometheus = z.object({
  enabled: enabled.describe('Whether a Prometheus is installed.'),
  exportMetrics: z.boolean().optional().describe('Whether objects for a Prometheus are made.'),
  remoteWriteEndpoint: z.string().max(2048).optional(),
  alertManager: z.object({ enabled }).optional().describe('The Alertmanager.'),
  replicas: z.int().min(0).optional(),
  retention: z.string().max(64).optional(),
  retentionSize: z.string().max(64).optional(),
  resources: resourceRequirements.optional(),
  volumes: z.array(podVolume).max(64).optional(),
});

export const monitoring = z.object({
  enableMetrics: z.boolean().optional().describe('The older form of `prometheus.exportMetrics`.'),
  prometheus: prometheus.optional().describe('Metrics.'),
  grafana: z.object({ enabled }).optional().describe('Dashboards.'),
  telemetry: z
    .object({
      enabled,
      image: imageName.optional(),
      logUploaderImage: imageName.optional(),
    })
    .optional()
    .describe('Reports to the maker.'),
});

const certificatePlace = z.object({
  filename: z
    .string()
    .max(4096)
    .startsWith('/', 'must be an absolute path')
    .optional()
    .describe('A file that each node has.'),
  secretRef: z
    .object({
      secretName: objectName.min(1).describe('The Secret, in the namespace of the StorageCluster.'),
      secretKey: z.string().min(1).max(253).describe('The key in it.'),
    })
    .optional()
    .describe('A key of a Secret.'),
});

export const security = z.object({
  enabled: z.boolean().default(false).describe('Turns on what `tls` and `auth` describe.'),
  auth: z
    .object({
      enabled,
      guestAccess: z.enum(['Enabled', 'Managed', 'Disabled']).optional(),
      selfSigned: z
        .object({
          issuer: z.string().max(512).optional(),
          tokenLifetime: z.string().max(64).optional(),
          sharedSecret: objectName.optional(),
        })
        .optional(),
    })
    .optional()
    .describe('Tokens for callers.'),
  tls: z
    .object({
      enabled: enabled.describe('Whether nodes talk TLS; as `security.enabled` when it is unset.'),
      rootCA: certificatePlace.optional().describe("The cluster's authority."),
      serverCert: certificatePlace.optional().describe("The nodes' certificate."),
      serverKey: certificatePlace.optional().describe('Its key.'),
    })
    .optional()
    .describe('TLS between nodes, mutual.'),
});
