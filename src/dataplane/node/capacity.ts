import type { GetCapacityRequest__Output } from '../../gen/px/v1/GetCapacityRequest.js';
import type { GetCapacityResponse } from '../../gen/px/v1/GetCapacityResponse.js';
import { nodeMatches, overcommitFactor } from '../cluster/placement.js';
import type { NodeContext } from './context.js';
import { placementNodes } from './placement-input.js';

/**
 * Free space for volumes of so many replicas: each byte of them takes one on
 * as many nodes. The largest volume is what the pools would still promise.
 */
export async function getCapacity(
  context: NodeContext,
  request: GetCapacityRequest__Output,
): Promise<GetCapacityResponse> {
  const replicas = Math.max(1, request.replicas);
  const state = await context.view.fresh();
  const terms = request.topology.map((topology) => topology.segments);
  let totalBytes = 0;
  const availableByNode: number[] = [];
  const promiseByNode: number[] = [];
  for (const node of placementNodes(state)) {
    if (!node.alive || node.maintenance) continue;
    if (terms.length > 0 && !terms.some((segments) => nodeMatches(node, segments))) continue;
    const pools = node.pools.filter(
      (pool) =>
        pool.state === 'online' &&
        (request.io_priority === '' || pool.class === request.io_priority),
    );
    totalBytes += sum(pools.map((pool) => pool.totalBytes));
    availableByNode.push(sum(pools.map((pool) => pool.availableBytes)));
    // A full pool takes no volume, however much it could still promise.
    const promises = pools
      .filter((pool) => pool.availableBytes > 0)
      .map((pool) => pool.totalBytes * overcommitFactor - pool.provisionedBytes);
    promiseByNode.push(Math.max(0, ...promises));
  }
  const largest = promiseByNode.sort((a, b) => b - a)[replicas - 1] ?? 0;
  const enoughNodes = availableByNode.length >= replicas;
  return {
    available_bytes: enoughNodes ? Math.floor(sum(availableByNode) / replicas) : 0,
    maximum_volume_bytes: Math.floor(largest),
    total_bytes: totalBytes,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
