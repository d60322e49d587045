import { writeMembers, type KvdbMember } from '../kvdb-members.js';
import type { Manifest } from '../kubernetes-types.js';
import { names, objectLabels } from '../names.js';

/**
 * Not owned by the StorageCluster: without a delete strategy the data stays on
 * the nodes, and a StorageCluster that is applied again must find it there.
 */
export function kvdbMembersObject(
  clusterName: string,
  namespace: string,
  members: readonly KvdbMember[],
  replaced: boolean,
): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: names.kvdb, namespace, labels: objectLabels(clusterName, 'common') },
    data: writeMembers(members, replaced),
  };
}
