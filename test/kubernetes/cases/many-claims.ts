import { waitFor } from '../../../tools/lib/wait.js';
import { check } from '../runner/check.js';
import type { KubernetesCase } from '../runner/types.js';
import { ensurePx, pxImages } from '../px/install-px.js';
import { waitNothingLeft } from '../px/leftovers.js';
import { claim, storageClass } from '../px/objects.js';

const count = 100;
/** What the README promises for a hundred claims that are made together. */
const promisedMs = 60_000;
const className = 'many-claims';

interface ClaimList {
  readonly items: readonly { readonly status?: { readonly phase?: string } }[];
}

/** A hundred claims at once, as an installation of something large makes them. */
export const manyClaims: KubernetesCase = {
  name: 'many-claims',
  timeoutMs: 10 * 60_000,
  images: pxImages,
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const { namespace } = helpers;
    await cluster.apply(storageClass(className, { repl: '2' }));
    const names = Array.from({ length: count }, (_, index) => `claim-${index}`);
    const claims = names.map((name) => claim(namespace, name, { storageClassName: className }));
    const startedMs = performance.now();
    await cluster.apply(...claims);
    await waitFor('bound claims', 5 * promisedMs, async () => {
      const { items } = await cluster.get<ClaimList>(['pvc', '-n', namespace]);
      const bound = items.filter(({ status }) => status?.phase === 'Bound');
      return bound.length === count ? true : undefined;
    });
    const tookMs = performance.now() - startedMs;
    helpers.say(`${count} claims were bound after ${(tookMs / 1000).toFixed(1)} s`);
    await cluster.kubectl(['delete', 'pvc', '--all', '-n', namespace, '--wait=false']);
    await helpers.step('all of them are gone again', () => waitNothingLeft(cluster, 300_000));
    await cluster.kubectl(['delete', 'storageclass', className]);
    check(tookMs < promisedMs, `${count} claims took ${tookMs} ms, ${promisedMs} are promised`);
  },
};
