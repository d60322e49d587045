import type { ControllerDefinition } from '../gen/csi/v1/Controller.js';
import type { NodeDefinition } from '../gen/csi/v1/Node.js';
import type { ProtoGrpcType } from '../gen/csi.js';
import { FilesystemTool } from '../platform/block/filesystem.js';
import { Mounter } from '../platform/block/mounter.js';
import type { NodeApi } from '../platform/grpc-client.js';
import {
  startGrpcServer,
  unaryService,
  type GrpcService,
  type RunningServer,
} from '../platform/grpc-server.js';
import type { Logger } from '../platform/logger.js';
import { loadProto } from '../platform/proto.js';
import type { RunCommand } from '../platform/run-command.js';
import type { Claims } from './claims/claim-parameters.js';
import { controllerHandlers } from './controller/controller.js';
import { identityHandlers } from './identity.js';
import type { NodeContext } from './node/context.js';
import { nodeHandlers } from './node/node.js';
import { TopologyKeys } from './topology.js';
import { VolumeLocks } from './volume-locks.js';

export type CsiMode = 'controller' | 'node' | 'all';

export interface CsiServerOptions {
  readonly mode: CsiMode;
  readonly endpoint: string;
  readonly driverName: string;
  readonly version: string;
  readonly maxVolumesPerNode: number;
  readonly frontend: 'fuse' | 'nbd' | 'nbd-device';
  readonly px: NodeApi;
  readonly protoDir: string;
  readonly run: RunCommand;
  readonly claims?: Claims | undefined;
  readonly logger: Logger;
}

/** What the node service works with, and whoever else works on this node's volumes. */
export function nodeContextOf(options: CsiServerOptions): NodeContext {
  const { px, logger, maxVolumesPerNode, frontend } = options;
  return {
    px,
    topology: new TopologyKeys(options.driverName),
    logger,
    locks: new VolumeLocks(),
    mounter: new Mounter(options.run),
    filesystems: new FilesystemTool(options.run),
    maxVolumesPerNode,
    frontend,
  };
}

/** Puts the CSI services of a mode together and listens. */
export function startCsiServer(
  options: CsiServerOptions,
  node: NodeContext = nodeContextOf(options),
): Promise<RunningServer> {
  const { mode, px, logger } = options;
  const loaded = loadProto(options.protoDir, 'csi.proto') as unknown as ProtoGrpcType;
  const { Identity, Controller, Node } = loaded.csi.v1;
  const topology = new TopologyKeys(options.driverName);
  const services: GrpcService[] = [
    unaryService(
      Identity.service,
      identityHandlers({ ...options, servesController: mode !== 'node' }),
      logger,
    ),
  ];
  if (mode !== 'node') {
    const handlers = controllerHandlers({
      px,
      topology,
      locks: new VolumeLocks(),
      claims: options.claims,
    });
    services.push(unaryService<ControllerDefinition>(Controller.service, handlers, logger));
  }
  if (mode !== 'controller') {
    const handlers = nodeHandlers(node);
    services.push(unaryService<NodeDefinition>(Node.service, handlers, logger));
  }
  return startGrpcServer({ services, listen: [options.endpoint] });
}
