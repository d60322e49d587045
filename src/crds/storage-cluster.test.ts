import { isKvdbInternal, parseStorageClusterSpec } from './storage-cluster.js';

describe('parseStorageClusterSpec', () => {
  test('an absent spec is one of defaults', () => {
    expect(parseStorageClusterSpec(undefined)).toMatchObject({
      startPort: 9001,
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      csi: { enabled: true, topology: { enabled: true } },
    });
  });

  test('an error names each field as it stands in the manifest', () => {
    const spec = { startPort: 80, nodes: [{ selector: {}, env: [{ value: 'x' }] }] };
    expect(() => parseStorageClusterSpec(spec)).toThrow(
      /spec\.startPort: .*spec\.nodes\[0\]\.env\[0\]\.name: /,
    );
  });
});

test.each<[object, boolean]>([
  [{}, true],
  [{ kvdb: {} }, true],
  [{ kvdb: { endpoints: [] } }, true],
  [{ kvdb: { endpoints: ['etcd:http://a:2379'] } }, false],
  [{ kvdb: { internal: true } }, true],
  [{ kvdb: { internal: false, endpoints: ['etcd:http://a:2379'] } }, false],
])('with %j the key-value store is internal: %p', (spec, internal) => {
  expect(isKvdbInternal(parseStorageClusterSpec(spec))).toBe(internal);
});
