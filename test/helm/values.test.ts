import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { parseStorageClusterSpec } from '../../src/crds/storage-cluster.js';
import { chartDir, describeWithHelm, objectOf, type Rendered } from './chart.js';

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

/** Every value by its path, with groups taken apart. */
function pathsOf(schema: Schema, prefix = ''): (readonly [string, Schema])[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
    const at = `${prefix}${name}`;
    return child.properties === undefined ? [[at, child] as const] : pathsOf(child, `${at}.`);
  });
}

describe('the values of the chart', () => {
  const read = (name: string): Promise<string> => readFile(path.join(chartDir, name), 'utf8');
  const schema = async (): Promise<Schema> =>
    JSON.parse(await read('values.schema.json')) as Schema;

  it('are each described, in the schema and in the README', async () => {
    const readme = await read('README.md');
    const paths = pathsOf(await schema());
    expect(paths.filter(([, { description }]) => (description ?? '') === '')).toEqual([]);
    expect(paths.map(([at]) => at).filter((at) => !readme.includes(`\`${at}\``))).toEqual([]);
  });

  it('have no default that the schema does not know', async () => {
    const known = new Set(pathsOf(await schema()).map(([at]) => at));
    const flat = (value: unknown, prefix: string): string[] =>
      known.has(prefix.slice(0, -1)) || typeof value !== 'object' || value === null
        ? [prefix.slice(0, -1)]
        : Object.entries(value).flatMap(([name, child]) => flat(child, `${prefix}${name}.`));
    expect(flat(parse(await read('values.yaml')), '').filter((at) => !known.has(at))).toEqual([]);
  });

  it('are of the version of the product', async () => {
    const chart = parse(await read('Chart.yaml')) as { version: string; appVersion: string };
    const product = JSON.parse(await read('../../package.json')) as { version: string };
    expect(chart).toMatchObject({ version: product.version, appVersion: product.version });
  });
});

describeWithHelm('what the values of the chart become', (helm) => {
  const cluster = async (...args: string[]): Promise<Rendered> =>
    objectOf(await helm.objects(...args), 'StorageCluster', 'px-cluster');

  const rules = (...expressions: object[]) => ({
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: expressions }],
      },
    },
  });
  const linux = { key: 'kubernetes.io/os', operator: 'In', values: ['linux'] };
  const notOff = { key: 'px/enabled', operator: 'NotIn', values: ['false'] };
  const on = { key: 'px/enabled', operator: 'In', values: ['true'] };
  const noMaster = { key: 'node-role.kubernetes.io/control-plane', operator: 'DoesNotExist' };
  const masters = ['control-plane', 'master'].map((name) => ({
    key: `node-role.kubernetes.io/${name}`,
    operator: 'Exists',
  }));

  it.each<[string, string[], object]>([
    ['every free device', [], { storage: { useAll: true } }],
    [
      'named devices',
      ['--set=drives=/dev/sdb; /dev/sdc;'],
      { storage: { devices: ['/dev/sdb', '/dev/sdc'] } },
    ],
    [
      'devices with a file system',
      ['--set=usefileSystemDrive=true'],
      { storage: { useAll: true, forceUseDisks: true } },
    ],
    [
      'what is passed on',
      ['--set=usedrivesAndPartitions=true,journalDevice=auto,cacheDevices=/dev/a;/dev/b'],
      {
        storage: {
          useAllWithPartitions: true,
          journalDevice: 'auto',
          cacheDevices: ['/dev/a', '/dev/b'],
        },
      },
    ],
    ['its own etcd', [], { kvdb: { internal: true } }],
    [
      'another etcd, although internalKVDB is true by default',
      ['--set=etcdEndPoint=etcd:http://a:2379;etcd:http://b:2379'],
      { kvdb: { internal: false, endpoints: ['etcd:http://a:2379', 'etcd:http://b:2379'] } },
    ],
    [
      'interfaces',
      ['--set=dataInterface=eth1,managementInterface=eth0'],
      { network: { dataInterface: 'eth1', mgmtInterface: 'eth0' } },
    ],
    [
      'environment of both forms',
      ['--set=envVars=A=1;B=x=y', '--set-json=envs=[{"name":"C","value":"2"}]'],
      {
        env: [
          { name: 'C', value: '2' },
          { name: 'A', value: '1' },
          { name: 'B', value: 'x=y' },
        ],
      },
    ],
    [
      'runtime options as text',
      ['--set=runtimeOptions=io-threads=4;log-level=debug'],
      { runtimeOptions: { 'io-threads': '4', 'log-level': 'debug' } },
    ],
    [
      'runtime options as a map',
      ['--set=runtimeOptions.io-threads=4'],
      { runtimeOptions: { 'io-threads': '4' } },
    ],
    [
      'control planes, too',
      ['--set=deployOnMaster=true'],
      { placement: { ...rules(linux, notOff), tolerations: masters } },
    ],
    [
      'only labelled nodes',
      ['--set=requirePxEnabledTag=true'],
      { placement: rules(linux, on, noMaster) },
    ],
    [
      'an update strategy',
      ['--set=updateStrategy.maxUnavailable=20%,updateStrategy.minReadySeconds=5'],
      {
        updateStrategy: {
          type: 'RollingUpdate',
          rollingUpdate: { maxUnavailable: '20%', minReadySeconds: 5 },
        },
      },
    ],
    [
      'updates by hand',
      ['--set=updateStrategy.type=OnDelete'],
      { updateStrategy: { type: 'OnDelete' } },
    ],
    [
      'a delete strategy',
      ['--set=deleteStrategy.type=Uninstall'],
      { deleteStrategy: { type: 'Uninstall' } },
    ],
    ['a version', ['--set-string=imageVersion=0.2.0'], { version: '0.2.0' }],
    [
      'metrics',
      ['--set=monitoring.prometheus.exportMetrics=true'],
      { monitoring: { prometheus: { exportMetrics: true } } },
    ],
    [
      'what another chart names and px lacks, for the condition to tell',
      ['--set=stork.enabled=true,monitoring.grafana=true'],
      { stork: { enabled: true }, monitoring: { grafana: { enabled: true } } },
    ],
    [
      'fields of the spec, over the values',
      ['--set=clusterSpec.startPort=17001,clusterSpec.csi.enabled=false'],
      { startPort: 17001, csi: { enabled: false, topology: { enabled: true } } },
    ],
  ])('%s', async (_case, args, expected) => {
    const { spec } = await cluster(...args);
    expect(spec).toMatchObject(expected);
    if (!_case.startsWith('its own') && 'storage' in expected) {
      expect(spec?.['storage']).toEqual(expected.storage);
    }
    // Not only helm, also the resource's own schema takes it.
    expect(parseStorageClusterSpec(spec)).toBeDefined();
  });

  it('annotations', async () => {
    const { metadata } = await cluster(
      '--set=clusterAnnotations=a.example/x=1;a.example/y=b=c',
      '--set=miscArgs=-rt_opts a=1',
      '--set=disableStorageClass=true',
    );
    expect(metadata.annotations).toEqual({
      'a.example/x': '1',
      'a.example/y': 'b=c',
      'portworx.io/misc-args': '-rt_opts a=1',
      'portworx.io/disable-storage-class': 'true',
    });
  });

  it.each([
    [['--set=drivs=/dev/sdb'], /additional properties 'drivs' not allowed/],
    [['--set=imagePullPolicy=Sometimes'], /'Always', 'IfNotPresent', 'Never'/],
    [['--set=operator.replicas=0'], /\/operator\/replicas/],
    [['--set=clusterName=Px_1'], /\/clusterName/],
    [['--set=secretType=vault'], /must be one of 'k8s'/],
    [['--set=deleteStrategy.type=Wipe'], /'Uninstall', 'UninstallAndWipe'/],
    [['--set=drives=type=gp3'], /attach devices to the nodes and name them/],
    [['--set=internalKVDB=false'], /etcdEndPoint must name an etcd/],
    [['--set=etcdEndPoint=10.0.0.1:2379'], /must have the form etcd:http:\/\/host:2379/],
    [['--set=etcdEndPoint=etcd:http://u:p@h:1'], /user and password belong into the Secret/],
    [['--set=kvdb.authSecretName=s'], /belongs to an external etcd/],
    [['--set=etcd.ca=/etc/ca.crt'], /name that in kvdb\.authSecretName/],
    [['--set=consul.token=t'], /keeps its records in etcd/],
  ])('%s is refused with what would be right', async (args, message) => {
    await expect(helm.template(...args)).rejects.toThrow(message);
  });

  it('takes a values file of another chart, nulls and all, and says what it does not use', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'px-values-'));
    const file = path.join(dir, 'values.yaml');
    try {
      await writeFile(
        file,
        [
          'imageVersion: 3.6.1',
          'clusterName: mycluster',
          'etcdEndPoint:',
          'imagePullPolicy:',
          'kvdb: {authSecretName: none}',
          'etcd: {credentials: none:none, ca: none}',
          'consul: {token: none}',
          'security: {enabled: false, auth: {guestAccess: Enabled}}',
          'stork: {enabled: true, args: }',
          'monitoring: {prometheus: {enabled: true, resources: }, telemetry: {enabled: true}}',
          'taintBasedScheduling: {enabled: }',
          'AKSInstall: true',
          'maxStorageNodes: 0',
          'deleteStrategy: {type: , ignoreVolumes: }',
          'updateStrategy: {type: , disruption: {allow: }, autoUpdateComponents: }',
          'resources:',
        ].join('\n'),
      );
      const objects = await helm.objects(`--values=${file}`);
      const { spec } = objectOf(objects, 'StorageCluster', 'mycluster');
      expect(parseStorageClusterSpec(spec)).toMatchObject({
        imagePullPolicy: 'IfNotPresent',
        kvdb: { internal: true },
      });
      const install = await helm.run(
        ...['install', 'px', chartDir, '--dry-run=client', '--namespace=portworx'],
        `--values=${file}`,
      );
      const notes = install.stdout.slice(install.stdout.indexOf('NOTES:'));
      expect(notes).toContain('AKSInstall: px does the same on every Kubernetes');
      expect(notes).toContain('stork.enabled: not installed');
      expect(notes).toContain('CAUTION: imageVersion asks for openpx/px:3.6.1');
      expect(notes).not.toContain('maxStorageNodes');
      expect(notes).not.toContain('taintBasedScheduling');
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('passes helm lint, strictly, with and without a cluster', async () => {
    for (const args of [[], ['--set=deployCluster=false']]) {
      const result = await helm.run('lint', '--strict', chartDir, ...args);
      expect(result).toMatchObject({ code: 0 });
    }
  });
});
