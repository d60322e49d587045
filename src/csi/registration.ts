import { join } from 'node:path';
import type { RegistrationDefinition } from '../gen/pluginregistration/Registration.js';
import type { ProtoGrpcType } from '../gen/pluginregistration.js';
import { toPxError } from '../kernel/errors.js';
import type { NodeApi } from '../platform/grpc-client.js';
import { startGrpcServer, unaryService, type RunningServer } from '../platform/grpc-server.js';
import type { Logger } from '../platform/logger.js';
import { delay } from '../platform/monotonic.js';
import { loadProto } from '../platform/proto.js';

export interface RegistrationOptions {
  /** The directory that the kubelet watches (plugins_registry), as px-csi sees it. */
  readonly directory: string;
  /** The CSI socket's path as the kubelet sees it. */
  readonly kubeletSocketPath: string;
  readonly driverName: string;
  readonly protoDir: string;
  readonly logger: Logger;
  /** The kubelet has registered the driver, as it does each time when it starts. */
  readonly onRegistered: () => void;
  /** The kubelet refused: nothing but a new registration, from a new process, tries again. */
  readonly onRefused: (reason: string) => void;
}

/** The CSI major version that the kubelet looks for. */
const csiVersion = '1.0.0';
const retryMs = 1_000;

/**
 * Makes the driver known to the kubelet, which the usual sidecar
 * (node-driver-registrar) does for drivers that can't: one container less.
 */
export function startRegistration(options: RegistrationOptions): Promise<RunningServer> {
  const loaded = loadProto(
    options.protoDir,
    'pluginregistration.proto',
  ) as unknown as ProtoGrpcType;
  const service = unaryService<RegistrationDefinition>(
    loaded.pluginregistration.Registration.service,
    {
      GetInfo: async () => ({
        type: 'CSIPlugin',
        name: options.driverName,
        endpoint: options.kubeletSocketPath,
        supported_versions: [csiVersion],
      }),
      NotifyRegistrationStatus: async ({ plugin_registered, error }) => {
        if (plugin_registered) {
          options.logger.info('the kubelet has registered the driver');
          options.onRegistered();
        } else {
          options.logger.error(`the kubelet did not register the driver: ${error}`);
          options.onRefused(error);
        }
        return {};
      },
    },
    options.logger,
  );
  const socket = join(options.directory, `${options.driverName}-reg.sock`);
  return startGrpcServer({ services: [service], listen: [`unix://${socket}`] });
}

/**
 * The kubelet asks NodeGetInfo as soon as it sees the socket, and gives up on
 * the driver when that fails: so there is no socket before px-node answers.
 * Nothing tells when it will, as it may not have begun to exist.
 */
export async function whenNodeAnswers(
  px: NodeApi,
  logger: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  let told = '';
  while (!signal.aborted) {
    try {
      await px.GetStatus({}, { timeoutMs: 2 * retryMs });
      return true;
    } catch (thrown) {
      const reason = toPxError(thrown).message;
      if (reason !== told) logger.info(`waiting for px-node before registering: ${reason}`);
      told = reason;
      await delay(retryMs);
    }
  }
  return false;
}
