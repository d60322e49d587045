import type { GetCapacityRequest__Output } from '../../gen/csi/v1/GetCapacityRequest.js';
import type { GetCapacityResponse } from '../../gen/csi/v1/GetCapacityResponse.js';
import type { NodeStatus__Output } from '../../gen/px/v1/NodeStatus.js';
import { readAccesses } from '../capability.js';
import { parseStorageClass, type ClassParameters } from '../parameters/storage-class.js';
import { listNodes, pxTimeouts } from '../px-volumes.js';
import { gibBytes } from '../sizes.js';
import type { ControllerContext } from './context.js';

export function capacityHandlers(context: ControllerContext) {
  return {
    GetCapacity: (request: GetCapacityRequest__Output) => getCapacity(context, request),
  };
}

/**
 * What can still be provisioned for use from a topology. A node outside the
 * cluster can use nothing; a node inside it can use every pool of its region,
 * also when it has none itself: counting its own pools only would keep pods
 * with a replicated class away from every node.
 */
async function getCapacity(
  context: ControllerContext,
  request: GetCapacityRequest__Output,
): Promise<GetCapacityResponse> {
  if (request.volume_capabilities.length > 0) readAccesses(request.volume_capabilities);
  const parameters = parseStorageClass(request.parameters);
  const nodes = await listNodes(context.px);
  const asked = request.accessible_topology;
  const from = asked === null ? nodes : context.topology.nodesIn([asked], nodes);
  const topology = poolsFor(from, nodes, parameters).map((node) => ({
    segments: { node: node.id },
  }));
  if (topology.length === 0) return answer('0', '0');
  const capacity = await context.px.GetCapacity(
    {
      topology,
      io_priority: parameters.ioPriority ?? '',
      replicas: parameters.replicas ?? 1,
    },
    { timeoutMs: pxTimeouts.readMs },
  );
  return answer(capacity.available_bytes, capacity.maximum_volume_bytes);
}

/** The nodes in the regions of `from` that the class's own nodes, zones, racks and regions allow. */
function poolsFor(
  from: readonly NodeStatus__Output[],
  nodes: readonly NodeStatus__Output[],
  parameters: ClassParameters,
): NodeStatus__Output[] {
  const regions = new Set(from.map((node) => node.region));
  const allows = (list: readonly string[] | undefined, ...names: string[]): boolean =>
    list === undefined || parameters.bestEffortLocation === true
      ? true
      : names.some((name) => list.includes(name));
  return nodes.filter(
    (node) =>
      regions.has(node.region) &&
      allows(parameters.nodes, node.id, node.name) &&
      allows(parameters.zones, node.zone) &&
      allows(parameters.racks, node.rack) &&
      allows(parameters.regions, node.region),
  );
}

/**
 * Whole GiB: every write to any volume changes the bytes that are free, and each
 * change would be written to an object for every class and node.
 */
function answer(availableBytes: string, maximumBytes: string): GetCapacityResponse {
  return {
    available_capacity: Math.floor(Number(availableBytes) / gibBytes) * gibBytes,
    maximum_volume_size: { value: maximumBytes },
    minimum_volume_size: { value: gibBytes },
  };
}
