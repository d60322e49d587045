import { cutFromAll, cutFromApi, declareDead } from '../node-operations/dead-node.js';
import { comeBack, leave } from '../node-operations/leave-and-return.js';
import { changeConfig, failAndReturn, rollOver } from '../node-operations/roll-out.js';
import { checkNothingLost, type Setting } from '../node-operations/setting.js';
import { ensurePx, pxImages } from '../px/install-px.js';
import { waitNothingLeft } from '../px/leftovers.js';
import { annotate, waitForgotten, waitKvdbWhole, waitOnline } from '../px/nodes.js';
import { storageClass } from '../px/objects.js';
import { VolumeWriter } from '../px/writer.js';
import type { KubernetesCase } from '../runner/types.js';

const className = 'node-operations';

/** What an administrator does to nodes, and what happens to them, with volumes in use. */
export const nodeOperations: KubernetesCase = {
  name: 'node-operations',
  timeoutMs: 20 * 60_000,
  images: [...pxImages, 'busybox'],
  run: async (cluster, helpers) => {
    await ensurePx(cluster, helpers);
    const added = await helpers.step('a node is added', () => cluster.addNode());
    await helpers.step('px runs there', () => waitOnline(cluster, added, 120_000));
    await cluster.apply(storageClass(className, { repl: '2', fs: 'ext4' }));
    const setting: Setting = {
      cluster,
      helpers,
      mover: new VolumeWriter(cluster, helpers.namespace, 'mover'),
      bystander: new VolumeWriter(cluster, helpers.namespace, 'bystander'),
    };
    const { mover, bystander } = setting;
    await helpers.step('rows are written', async () => {
      await mover.deploy(className, 'node-2');
      await bystander.deploy(className, 'node-1');
    });
    const left = await leave(setting);
    await comeBack(setting, left);
    await declareDead(setting);
    await cutFromApi(setting);
    await cutFromAll(setting);
    await changeConfig(setting);
    await failAndReturn(setting);
    await checkNothingLost(setting);
    await helpers.step('the writers end', async () => {
      await mover.remove();
      await bystander.remove();
      await waitNothingLeft(cluster, 60_000);
    });
    await helpers.step(`${added} leaves for good`, async () => {
      await annotate(cluster, `storagenode/${added}`, 'px.io/decommission=true');
      await waitForgotten(cluster, added, 180_000);
      await cluster.removeLastNode();
    });
    await helpers.step('everything is as it was', async () => {
      await rollOver(cluster, 'debug');
      await waitKvdbWhole(cluster, 120_000);
    });
    await cluster.kubectl(['delete', 'storageclass', className]);
  },
};
