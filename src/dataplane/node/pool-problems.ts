import type { PoolSet } from '../pool/contracts.js';
import type { HealthProblem } from './node-health.js';

/** Devices were named, and none of them is or ever was here. */
export function storesNothing({ drives }: Pick<PoolSet, 'drives'>): boolean {
  return drives.length > 0 && drives.every(({ absent }) => absent);
}

/** What an operator should know of the node's drives: the first that is critical makes it degraded. */
export function poolProblems(
  set: Pick<PoolSet, 'pools' | 'drives'>,
  devicesOptional: boolean,
): HealthProblem[] {
  const { pools, drives } = set;
  if (devicesOptional && storesNothing(set)) {
    const paths = drives.map(({ path }) => path).join(', ');
    return [
      {
        severity: 'warning',
        resource: 'pools',
        message: `it stores nothing: none of the named devices is here (${paths})`,
      },
    ];
  }
  const problems: HealthProblem[] = [];
  if (drives.length > 0 && pools.every((pool) => pool.state === 'offline')) {
    problems.push({
      severity: 'critical',
      resource: 'pools',
      message: 'no drive of this node can be used: it holds no replicas',
    });
  }
  for (const pool of pools) {
    if (pool.state === 'online') continue;
    problems.push({
      severity: 'warning',
      resource: `pool/${pool.id}`,
      message:
        pool.state === 'full'
          ? `pool ${pool.id} is full: new data is refused, overwrites go on`
          : `pool ${pool.id} is offline`,
    });
  }
  for (const drive of drives) {
    if (drive.state === 'online') continue;
    problems.push({
      severity: 'warning',
      resource: `drive/${drive.path}`,
      message: `drive ${drive.path} is ${drive.state}: ${drive.reason}`,
    });
  }
  return problems;
}
