import { silentLogger } from '../../platform/logger.js';
import { HttpKubeApi } from './kube-api.js';
import { KubeHttp } from './kube-http.js';
import { LeaderElection, type LeaseTiming } from './leader-election.js';
import { status, TestingApiServer } from './testing-api-server.js';

const timing: LeaseTiming = {
  durationMs: 1_000,
  renewDeadlineMs: 500,
  renewEveryMs: 50,
  lookEveryMs: 50,
};
const path = '/apis/coordination.k8s.io/v1/namespaces/px/leases';
const name = { namespace: 'px', name: 'px-operator' };

describe('LeaderElection', () => {
  let server: TestingApiServer;
  const https: KubeHttp[] = [];
  const elections: LeaderElection[] = [];

  beforeEach(async () => {
    server = await TestingApiServer.start();
  });

  afterEach(async () => {
    await Promise.all(elections.splice(0).map((election) => election.stop()));
    for (const http of https.splice(0)) http.close();
    await server.stop();
  });

  function candidate(identity: string): LeaderElection {
    const http = new KubeHttp({
      server: server.url,
      tls: {},
      authorization: async () => undefined,
    });
    const kube = new HttpKubeApi(http);
    const election = new LeaderElection({ kube, name, identity, timing, logger: silentLogger });
    https.push(http);
    elections.push(election);
    return election;
  }

  test('the first one leads, the second waits until the first gives it back', async () => {
    const [first, second] = [candidate('one'), candidate('two')];
    expect(await first.acquire()).toBe(true);
    expect(first.isLeader).toBe(true);
    const held = first.hold();
    let secondLeads = false;
    const acquired = second.acquire().then((leads) => (secondLeads = leads));
    // Longer than the lease would last without renewals.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    expect([first.isLeader, secondLeads]).toEqual([true, false]);
    const stoppedAt = performance.now();
    await first.stop();
    expect(await held).toBe(false);
    await acquired;
    expect(secondLeads).toBe(true);
    expect(performance.now() - stoppedAt).toBeLessThan(timing.durationMs);
  });

  test('a leader that died is followed, but not before its lease is over', async () => {
    const [first, second] = [candidate('one'), candidate('two')];
    await first.acquire();
    const diedAt = performance.now();
    expect(await second.acquire()).toBe(true);
    expect(performance.now() - diedAt).toBeGreaterThanOrEqual(timing.durationMs * 0.95);
    expect(first.isLeader).toBe(false);
  });

  test('the same identity takes its lease up at once, as a container that started again', async () => {
    await candidate('one').acquire();
    const again = candidate('one');
    const startedAt = performance.now();
    expect(await again.acquire()).toBe(true);
    expect(performance.now() - startedAt).toBeLessThan(timing.durationMs / 2);
  });

  test('of two that see the lease end, one leads', async () => {
    await candidate('dead').acquire();
    const rivals = [candidate('two'), candidate('three')];
    await Promise.race(rivals.map((rival) => rival.acquire()));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(rivals.filter(({ isLeader }) => isLeader)).toHaveLength(1);
  });

  test('a leader that cannot renew gives up before anybody else may lead', async () => {
    const first = candidate('one');
    await first.acquire();
    const startedAt = performance.now();
    const held = first.hold();
    await server.stop();
    expect(await held).toBe(true);
    expect(first.isLeader).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(timing.durationMs);
    await server.restart();
  });

  test('an API server that hangs is no excuse', async () => {
    const first = candidate('one');
    await first.acquire();
    const startedAt = performance.now();
    jest.spyOn(server as never, 'answer').mockImplementation(() => {
      const until = performance.now() + 900;
      while (performance.now() < until);
      return status(503, 'Timeout', 'late') as never;
    });
    expect(await first.hold()).toBe(true);
    expect(performance.now() - startedAt).toBeGreaterThan(timing.renewDeadlineMs * 0.9);
  });

  test('a short trouble is bridged', async () => {
    const first = candidate('one');
    await first.acquire();
    const held = first.hold();
    server.instead.push(() => 'cut');
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(first.isLeader).toBe(true);
    await first.stop();
    expect(await held).toBe(false);
  });

  test('a lead that somebody else took is lost at the next renewal', async () => {
    const first = candidate('one');
    await first.acquire();
    const held = first.hold();
    const { apiVersion, kind } = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
    const spec = { holderIdentity: 'intruder', leaseDurationSeconds: 1 };
    server.put(path, { apiVersion, kind, metadata: { ...name }, spec } as never);
    expect(await held).toBe(true);
  });
});
