import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { storageClusterSpec, parseStorageClusterSpec } from '../../src/crds/storage-cluster.js';
import { storagePolicyOf, storagePolicySpec } from '../../src/crds/storage-policy.js';
import { structuralSchema, unknownFields } from '../../src/crds/structural-schema.js';
import { unsupportedFields } from '../../src/crds/unsupported-fields.js';
import { parseMutable, parseStorageClass } from '../../src/csi/parameters/storage-class.js';
import { codeBlocks, documents, manifestsIn, type Manifest } from './documents.js';

const examplesDir = 'deploy/examples';
const sources = [
  ...documents().flatMap((document) =>
    ['yaml', 'sh'].flatMap((language) =>
      codeBlocks(document, language).flatMap((code) =>
        language === 'yaml' ? [[document.path, code] as const] : hereDocuments(document.path, code),
      ),
    ),
  ),
  ...readdirSync(examplesDir)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => [name, readFileSync(join(examplesDir, name), 'utf8')] as const),
];

function hereDocuments(path: string, code: string): readonly (readonly [string, string])[] {
  return [...code.matchAll(/<<'EOF'\n([\s\S]*?)^EOF$/gm)].map(([, yaml = '']) => [path, yaml]);
}

const manifests = sources.flatMap(([path, yaml]) =>
  manifestsIn(yaml).map((manifest) => [path, manifest.kind ?? 'a part', manifest] as const),
);

test('there are manifests of each kind to look at', () => {
  const kinds = manifests.map(([, kind]) => kind);
  const wanted = ['StorageCluster', 'StoragePolicy', 'StorageClass', 'VolumeAttributesClass'];
  expect(kinds).toEqual(expect.arrayContaining(wanted));
});

test.each(manifests)('%s: %s means something to px', (_, __, manifest) => {
  expect(problemsOf(manifest)).toEqual([]);
});

function problemsOf(manifest: Manifest): readonly string[] {
  const { kind, spec, parameters = {} } = manifest;
  // A part of a StorageCluster, as the pages show it.
  const isPart = kind === undefined && spec !== undefined;
  if (kind === 'StorageCluster' || isPart) {
    parseStorageClusterSpec(spec);
    const unknown = unknownFields(structuralSchema(storageClusterSpec), spec);
    return [
      ...unsupportedFields(spec).map(({ path, message }) => `${path}: ${message}`),
      ...unknown,
    ];
  }
  if (kind === 'StoragePolicy') {
    storagePolicyOf(storagePolicySpec.parse(spec));
    return unknownFields(structuralSchema(storagePolicySpec), spec);
  }
  if (kind === 'StorageClass' && manifest.provisioner === 'pxd.portworx.com') {
    // An unknown key would be a label: here it is a mistake.
    return Object.keys(parseStorageClass(parameters).labels);
  }
  if (kind === 'VolumeAttributesClass') parseMutable(parameters);
  return [];
}
