import { readFileSync } from 'node:fs';
import { OperatorMetrics } from './metrics.js';

test('every metric is in the reference, and the reference has no other', async () => {
  const metrics = new OperatorMetrics();
  metrics.observe({ queues: () => [], isLeader: () => false });
  const served = (await metrics.registry.getMetricsAsJSON()).map(({ name }) => name).sort();
  const reference = readFileSync('docs/reference/px-operator.md', 'utf8');
  const described = [...reference.matchAll(/^\| `((?:px_operator|process)_[a-z_]+)`/gm)].map(
    ([, name]) => name,
  );
  expect(served.length).toBeGreaterThan(5);
  expect(described.sort()).toEqual(served);
});
