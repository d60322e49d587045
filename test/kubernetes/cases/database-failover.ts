import { check } from '../runner/check.js';
import type { KubernetesCase } from '../runner/types.js';
import { DatabaseUnderLoad } from '../px/database.js';
import { ensurePx, pxImages } from '../px/install-px.js';
import { waitAllInSync } from '../px/volumes.js';

/** What the README promises, from the node's death to the first write elsewhere. */
const promisedMs = 60_000;

/** A database under load loses its node: it runs elsewhere, and no acknowledged row is lost. */
export const databaseFailover: KubernetesCase = {
  name: 'database-failover',
  timeoutMs: 15 * 60_000,
  images: [...pxImages, 'postgres'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const database = new DatabaseUnderLoad(cluster, helpers.namespace);
    await helpers.step('PostgreSQL is up', () => database.deploy(helpers.rootDir));
    const victim = await database.node();
    const stays = cluster.nodes.map(({ name }) => name).find((name) => name !== victim);
    check(stays !== undefined, 'there is no other node');
    await helpers.step('rows are committed', () => database.startWriter(stays));
    const before = (await database.acknowledged()).length;
    const killedAtMs = Date.now();
    await cluster.killNode(victim);
    const backAtMs = await helpers.step('the first write after its node died', () =>
      database.firstAfter(killedAtMs + 2_000, 5 * promisedMs),
    );
    const tookMs = backAtMs - killedAtMs;
    helpers.say(`${victim} died; written elsewhere after ${(tookMs / 1000).toFixed(1)} s`);
    check((await database.node()) !== victim, `the database is still said to be on ${victim}`);
    const lost = await database.lostRows();
    check(lost.length === 0, `acknowledged rows are lost: ${lost.slice(0, 20).join(', ')}`);
    helpers.say(
      `${before} rows before, ${(await database.acknowledged()).length} by now, none lost`,
    );
    check(tookMs < promisedMs, `it took ${tookMs} ms, and ${promisedMs} ms are promised`);
    await helpers.step('the node is back', () => cluster.restartNode(victim));
    await helpers.step('all copies are in sync again', () => waitAllInSync(cluster, 180_000));
    const lostLater = await database.lostRows();
    check(lostLater.length === 0, `rows are lost after the resync: ${lostLater.join(', ')}`);
    await helpers.step('all of it is removed', () => database.stop());
  },
};
