import { check } from '../runner/check.js';
import type { KubernetesCase } from '../runner/types.js';
import { DatabaseUnderLoad } from '../px/database.js';
import { ensurePx, pxImages } from '../px/install-px.js';
import { waitAllInSync } from '../px/volumes.js';
import { VolumeWriter } from '../px/writer.js';

/** What the README promises, from the node's death to the first write elsewhere. */
const promisedMs = 60_000;

/**
 * A database under load loses its node, and a program on a raw block volume beside it:
 * both run elsewhere, and no acknowledged row is lost.
 */
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
    const raw = new VolumeWriter(cluster, helpers.namespace, 'raw', true);
    await helpers.step('a raw block volume is written on the same node', () =>
      raw.deploy('px-csi-db', victim),
    );
    check((await raw.requireNode()) === victim, `the raw block volume is not on ${victim}`);
    const before = (await database.acknowledged()).length;
    const killedAtMs = Date.now();
    await cluster.killNode(victim);
    const [backAtMs, rawAtSeconds] = await helpers.step('the first writes after its death', () =>
      Promise.all([
        database.firstAfter(killedAtMs + 2_000, 5 * promisedMs),
        raw.goesOn(5 * promisedMs, (node) => node !== victim),
      ]),
    );
    const tookMs = backAtMs - killedAtMs;
    const rawMs = 1000 * (rawAtSeconds + 1) - killedAtMs;
    helpers.say(
      `${victim} died; written elsewhere after ${(tookMs / 1000).toFixed(1)} s, ` +
        `the raw block volume after at most ${(rawMs / 1000).toFixed(1)} s`,
    );
    check((await database.node()) !== victim, `the database is still said to be on ${victim}`);
    const lost = [...(await database.lostRows()), ...(await raw.lostRows())];
    check(lost.length === 0, `acknowledged rows are lost: ${lost.slice(0, 20).join(', ')}`);
    helpers.say(
      `${before} rows before, ${(await database.acknowledged()).length} by now, none lost`,
    );
    check(
      Math.max(tookMs, rawMs) < promisedMs,
      `it took ${tookMs} and ${rawMs} ms, and ${promisedMs} ms are promised`,
    );
    await helpers.step('the node is back', () => cluster.restartNode(victim));
    await helpers.step('all copies are in sync again', () => waitAllInSync(cluster, 180_000));
    const lostLater = [...(await database.lostRows()), ...(await raw.lostRows())];
    check(lostLater.length === 0, `rows are lost after the resync: ${lostLater.join(', ')}`);
    await helpers.step('all of it is removed', async () => {
      await raw.remove();
      await database.stop();
    });
  },
};
