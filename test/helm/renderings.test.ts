import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describeWithHelm } from './chart.js';

/**
 * Whole renderings, so that a change of a template is seen in a review.
 * `PX_WRITE_RENDERINGS=1` writes them anew.
 */
const cases: Readonly<Record<string, readonly string[]>> = {
  default: [],
  'external-etcd': [
    '--set=etcdEndPoint=etcd:https://10.0.0.1:2379;etcd:https://10.0.0.2:2379',
    '--set=kvdb.authSecretName=px-etcd',
    '--set=drives=/dev/sdb;/dev/sdc',
    '--set=dataInterface=eth1',
    '--set=customRegistryURL=registry.example/mirror/',
    '--set=registrySecret=pull',
    '--set=deployOnMaster=true',
    '--set=deleteStrategy.type=UninstallAndWipe',
    '--set=uninstall.ignoreAttached=true',
    '--set=operator.replicas=1',
  ],
  'operator-only': ['--set=deployCluster=false', '--set=csi.enabled=false'],
};

const versions = /helm\.sh\/chart|app\.kubernetes\.io\/version/;

describeWithHelm('renderings of the chart', (helm) => {
  it.each(Object.entries(cases))('%s is as it was reviewed', async (name, args) => {
    const file = path.join(__dirname, 'renderings', `${name}.yaml`);
    // The version of the chart is in labels everywhere, and changes with each release.
    const text = (await helm.template(...args))
      .split('\n')
      .filter((line) => !versions.test(line))
      .map((line) => line.trimEnd())
      .join('\n');
    if (process.env['PX_WRITE_RENDERINGS'] === '1') writeFileSync(file, text);
    expect(text).toBe(readFileSync(file, 'utf8'));
  });
});
