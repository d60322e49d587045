import { imagesOf, namesForeignImage, versionOf, withRegistry } from './images.js';

const ours = 'docker.io/openpx/px:1.2.3';

describe('the image of px', () => {
  const cases: readonly [Parameters<typeof imagesOf>[0], string][] = [
    [{}, ours],
    [{ version: '1.3.0' }, 'docker.io/openpx/px:1.3.0'],
    [{ image: 'mine/px:7' }, 'mine/px:7'],
    [{ image: 'mine/px', version: '7' }, 'mine/px:7'],
    [{ image: 'mine/px' }, 'mine/px:1.2.3'],
    [{ image: 'reg:5000/mine/px' }, 'reg:5000/mine/px:1.2.3'],
    [{ image: 'mine/px@sha256:abc', version: '7' }, 'mine/px@sha256:abc'],
    [{ image: 'portworx/oci-monitor:2.8.0', version: '2.8.0' }, ours],
    [{ customImageRegistry: 'reg.example/mirror' }, 'reg.example/mirror/openpx/px:1.2.3'],
  ];
  it.each(cases)('%j', (spec, expected) => {
    expect(imagesOf(spec, ours).px).toBe(expected);
  });
});

it.each([
  ['registry.k8s.io/sig-storage/a:v1', 'reg.example:5000', 'reg.example:5000/sig-storage/a:v1'],
  ['openpx/px:1', 'reg.example/', 'reg.example/openpx/px:1'],
  ['localhost/px:1', 'reg.example', 'reg.example/px:1'],
  ['px:1', 'reg.example', 'reg.example/px:1'],
  ['px:1', undefined, 'px:1'],
  ['reg.example/mirror/openpx/px:1', 'reg.example/mirror/', 'reg.example/mirror/openpx/px:1'],
])('%s from the registry %s', (image, registry, expected) => {
  expect(withRegistry(image, registry)).toBe(expected);
});

it.each([
  ['openpx/px:1.2.3', '1.2.3'],
  ['reg:5000/px', ''],
  ['px:1@sha256:abc', '1'],
  ['px@sha256:0123456789abcdef', 'sha256:0123456789ab'],
])('the version of %s', (image, expected) => {
  expect(versionOf(image)).toBe(expected);
});

it("knows another product's image", () => {
  expect(namesForeignImage({ image: 'docker.io/portworx/px-enterprise:3' })).toBe(true);
  expect(namesForeignImage({ image: 'reg/openpx/px:3' })).toBe(false);
});
