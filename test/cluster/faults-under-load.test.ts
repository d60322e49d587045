import type { DevCluster } from '../../tools/devcluster/cluster.js';
import { useCluster } from '../support/clusters.js';
import { describeOnCluster } from '../support/needs.js';
import {
  createAttached,
  detachAndDelete,
  healedAndEqual,
  miB,
  verifyingLoad,
  waitOut,
} from '../support/volumes.js';

/**
 * A fault under a verifying load: fio must see no error, and the replicas must
 * be equal at the end.
 */
describeOnCluster('faults under fio --verify', () => {
  let cluster: DevCluster;
  useCluster((started) => (cluster = started));

  /** Runs the load, calls `fault` two seconds in, `repair` after it, and judges. */
  async function underLoad(
    replicas: number,
    seconds: number,
    fault: (attachedOn: string, victim: string, id: string) => Promise<void>,
    repair: (attachedOn: string, victim: string) => Promise<void>,
  ): Promise<void> {
    const volume = await createAttached(cluster, replicas, 512 * miB);
    const [attachedOn = '', victim = ''] = volume.replicaNodes;
    const load = verifyingLoad(cluster, attachedOn, volume.device, seconds);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await fault(attachedOn, victim, volume.id);
    expect(load.running).toBe(true);
    await repair(attachedOn, victim);
    const result = await load.done;
    expect(result.error).toBe(0);
    expect(result.write.bytes).toBe(12 * seconds * miB);
    expect(result.read.bytes).toBeGreaterThan(0);
    await healedAndEqual(cluster, attachedOn, volume.id, replicas);
    await detachAndDelete(cluster, volume.id, attachedOn);
  }

  describe.each([2, 3])('%d replicas', (replicas) => {
    test('kill -9 of the node of a replica', async () => {
      await underLoad(
        replicas,
        15,
        async (attachedOn, victim, id) => {
          await cluster.killNode(victim);
          await waitOut(cluster, attachedOn, id, victim);
        },
        (_, victim) => cluster.startNode(victim),
      );
    }, 180_000);

    test('kill -9 of the engine that serves the device', async () => {
      await underLoad(
        replicas,
        12,
        async (attachedOn) => {
          await cluster.killProcess(attachedOn, 'engine');
        },
        async () => undefined,
      );
    }, 180_000);

    test("kill -9 of a replica's engine", async () => {
      await underLoad(
        replicas,
        12,
        async (_, victim) => {
          await cluster.killProcess(victim, 'engine');
        },
        async () => undefined,
      );
    }, 180_000);

    test('kill -9 of px-node where the volume is attached', async () => {
      await underLoad(
        replicas,
        12,
        async (attachedOn) => {
          await cluster.killProcess(attachedOn, 'px-node');
        },
        (attachedOn) => cluster.startNode(attachedOn),
      );
    }, 180_000);

    test('a replica cut off by the network', async () => {
      await underLoad(
        replicas,
        15,
        async (attachedOn, victim, id) => {
          await cluster.partition(victim);
          await waitOut(cluster, attachedOn, id, victim);
        },
        () => cluster.heal(),
      );
    }, 180_000);
  });

  test('the data path cut while both ends still reach etcd', async () => {
    await underLoad(
      3,
      15,
      async (attachedOn, victim, id) => {
        await cluster.partitionPair(attachedOn, victim);
        await waitOut(cluster, attachedOn, id, victim);
      },
      () => cluster.heal(),
    );
  }, 180_000);

  test('only what the replica sends is lost', async () => {
    await underLoad(
      2,
      15,
      async (attachedOn, victim, id) => {
        await cluster.partition(victim, 'out');
        await waitOut(cluster, attachedOn, id, victim);
      },
      () => cluster.heal(),
    );
  }, 180_000);

  test('the engine killed five times in a row', async () => {
    await underLoad(
      2,
      20,
      async (attachedOn) => {
        for (let round = 0; round < 5; round++) {
          const before = (await cluster.running(attachedOn)).get('engine');
          await cluster.killProcess(attachedOn, 'engine');
          for (;;) {
            const now = (await cluster.running(attachedOn)).get('engine');
            if (now !== undefined && now !== before) break;
            await new Promise((resolve) => setTimeout(resolve, 200));
          }
        }
      },
      async () => undefined,
    );
  }, 240_000);
});
