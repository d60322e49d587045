import { isKvdbInternal, parseStorageClusterSpec } from './storage-cluster.js';

describe('parseStorageClusterSpec', () => {
  test('an absent spec is one of defaults', () => {
    expect(parseStorageClusterSpec(undefined)).toMatchObject({
      startPort: 9001,
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      csi: { enabled: true, topology: { enabled: true } },
    });
  });

  test('an empty string is as good as nothing, except where it is a value', () => {
    const env = [{ name: 'A', value: '' }];
    const spec = parseStorageClusterSpec({
      imagePullSecret: '',
      kvdb: { authSecret: '' },
      nodes: [{ selector: { nodeName: '', labelSelector: { matchLabels: { a: '' } } } }],
      env,
    });
    expect(spec).not.toHaveProperty('imagePullSecret');
    expect(spec).toMatchObject({ kvdb: {}, env });
    expect(spec.nodes).toEqual([{ selector: { labelSelector: { matchLabels: { a: '' } } } }]);
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
