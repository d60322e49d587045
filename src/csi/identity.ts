import type { IdentityDefinition } from '../gen/csi/v1/Identity.js';
import { toPxError } from '../kernel/errors.js';
import type { NodeApi } from '../platform/grpc-client.js';
import type { UnaryHandlers } from '../platform/grpc-server.js';
import type { Logger } from '../platform/logger.js';

export interface IdentityOptions {
  readonly px: NodeApi;
  readonly logger: Logger;
  readonly driverName: string;
  readonly version: string;
  readonly servesController: boolean;
}

/** Less than a liveness probe's usual second of patience would see as an outage. */
const probeTimeoutMs = 2_000;

export function identityHandlers(options: IdentityOptions): UnaryHandlers<IdentityDefinition> {
  const { px, logger, driverName, version } = options;
  return {
    GetPluginInfo: async () => ({ name: driverName, vendor_version: version }),
    GetPluginCapabilities: async () => ({
      capabilities: [
        ...(options.servesController ? [{ service: { type: 'CONTROLLER_SERVICE' as const } }] : []),
        { service: { type: 'VOLUME_ACCESSIBILITY_CONSTRAINTS' } },
        { volume_expansion: { type: 'ONLINE' } },
      ],
    }),
    Probe: async () => {
      // Not an error: px-csi is well, and waits for its px-node.
      const ready = await px.GetStatus({}, { timeoutMs: probeTimeoutMs }).then(
        () => true,
        (thrown: unknown) => {
          logger.warn(`px-node is not ready: ${toPxError(thrown).message}`);
          return false;
        },
      );
      return { ready: { value: ready } };
    },
  };
}
