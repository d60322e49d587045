import { unsupportedFields } from './unsupported-fields.js';

const paths = (spec: object): string[] => unsupportedFields(spec).map(({ path }) => path);

describe('unsupportedFields', () => {
  test.each<[string, object, string[]]>([
    ['nothing', {}, []],
    ['what px does', { storage: { devices: ['/dev/sdb'] }, csi: { enabled: true } }, []],
    ['a cloud', { cloudStorage: { provider: 'aws' } }, ['cloudStorage']],
    [
      'a cloud of some nodes',
      { nodes: [{}, { cloudStorage: { deviceSpecs: ['x'] } }] },
      ['nodes[1].cloudStorage'],
    ],
    ['Stork', { stork: { enabled: true } }, ['stork']],
    ['Stork, turned off', { stork: { enabled: false, image: 'a' } }, []],
    ['an absent Stork', { stork: null }, []],
    ['telemetry, turned off', { monitoring: { telemetry: { enabled: false } } }, []],
    [
      'metrics for a Prometheus that is there',
      { monitoring: { prometheus: { exportMetrics: true } } },
      [],
    ],
    [
      'a Prometheus',
      { monitoring: { prometheus: { enabled: true } } },
      ['monitoring.prometheus.enabled'],
    ],
    ['empty names of devices', { storage: { journalDevice: '', cacheDevices: [] } }, []],
    [
      'devices of a kind that px lacks, everywhere',
      {
        storage: { journalDevice: 'auto' },
        nodes: [{ storage: { cacheDevices: ['/dev/sdc'], kvdbDevice: '/dev/sdd' } }],
      },
      ['nodes[0].storage.cacheDevices', 'nodes[0].storage.kvdbDevice', 'storage.journalDevice'],
    ],
    ['Secrets', { secretsProvider: 'k8s' }, []],
    ['Vault', { secretsProvider: 'vault' }, ['secretsProvider']],
    ['an option of ours', { runtimeOptions: { 'failover-seconds': '30' } }, []],
    [
      'an option of others',
      { runtimeOptions: { num_io_threads: '10' } },
      ['runtimeOptions.num_io_threads'],
    ],
    ['TLS', { security: { enabled: true, tls: { enabled: true } } }, ['security.tls']],
    ['TLS, turned off', { security: { tls: { enabled: false } } }, []],
    ['a field that nobody knows', { storrage: {} }, ['storrage']],
    ['one inside', { csi: { enabled: true, limit: 1 } }, ['csi.limit']],
    ['one in a list', { nodes: [{ selector: { nodeNam: 'a' } }] }, ['nodes[0].selector.nodeNam']],
    [
      "fields of Kubernetes' own types, which its API server checks",
      {
        volumes: [{ name: 'a', mountPath: '/a', hostPath: { path: '/x' } }],
        env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'a', key: 'b' } } }],
        placement: { nodeAffinity: { newField: 1 } },
      },
      [],
    ],
  ])('%s', (_what, spec, expected) => {
    expect(paths(spec)).toEqual(expected);
  });

  test('each comes with a reason that says what to do instead', () => {
    expect(unsupportedFields({ cloudStorage: { provider: 'aws' } })).toEqual([
      {
        path: 'cloudStorage',
        message: expect.stringContaining('attach devices to the nodes') as string,
      },
    ]);
  });
});
