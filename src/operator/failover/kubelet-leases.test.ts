import { isFresh, isOverdue, isSilent, KubeletLeases, type Lease } from './kubelet-leases.js';

function lease(renewTime: string): Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'n1' },
    spec: { renewTime, leaseDurationSeconds: 40 },
  };
}

describe('what is known of a kubelet', () => {
  let nowMs = 0;
  const leases = () => new KubeletLeases(() => nowMs);

  beforeEach(() => {
    nowMs = 1_000_000;
  });

  it('counts silence from when a renewal was seen, whatever time the lease names', () => {
    const seen = leases();
    seen.observe(lease('1999-01-01T00:00:00Z'));
    nowMs += 10_000;
    seen.observe(lease('2050-01-01T00:00:00Z'));
    nowMs += 4_000;
    expect(seen.silence('n1')).toEqual({
      silentMs: 4_000,
      renewEveryMs: 10_000,
      renewedSinceStart: true,
    });
  });

  it('takes a lease that is reported again without a renewal for no sign of life', () => {
    const seen = leases();
    seen.observe(lease('a'));
    nowMs += 30_000;
    seen.observe(lease('a'));
    expect(seen.silence('n1')?.silentMs).toBe(30_000);
    expect(seen.silence('n2')).toBeUndefined();
  });

  it.each([
    // silent, fresh, overdue, silent for 20 s
    [5_000, true, false, false],
    [12_500, true, true, false],
    [15_000, false, true, false],
    [20_000, false, true, true],
  ])('after %i ms', (silentMs, fresh, overdue, silent) => {
    const seen = leases();
    seen.observe(lease('a'));
    seen.observe(lease('b'));
    nowMs += silentMs;
    const silence = seen.silence('n1');
    expect([isFresh(silence), isOverdue(silence), isSilent(silence, 20_000)]).toEqual([
      fresh,
      overdue,
      silent,
    ]);
  });

  it('waits for a missed renewal of a kubelet that renews rarely', () => {
    const silence = { silentMs: 25_000, renewEveryMs: 20_000, renewedSinceStart: true };
    expect(isSilent(silence, 20_000)).toBe(false);
    expect(isSilent({ ...silence, silentMs: 30_000 }, 20_000)).toBe(true);
  });

  it('does not take a lease that was only found for a witness', () => {
    const seen = leases();
    seen.observe(lease('a'));
    expect(isFresh(seen.silence('n1'))).toBe(false);
  });
});
