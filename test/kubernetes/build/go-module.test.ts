import { compareGoVersions, moduleOf, parseGoMod } from './go-module.js';

const goMod = `module px/test/kubernetes/tools/example

go 1.26.0

tool example.org/one/cmd/single

tool (
	example.org/two/v2/cmd/first
	example.org/two/v2/cmd/second // a remark
)

require (
	example.org/one v1.2.3 // indirect
	example.org/two v0.9.0 // indirect
	example.org/two/v2 v2.4.0 // indirect
)

require example.org/three v3.0.0

replace example.org/three => example.org/four v4.0.0
`;

test('the tool lines and the versions of a go.mod are read, in blocks or alone', () => {
  const { tools, goVersion, versions } = parseGoMod(goMod);
  expect(goVersion).toBe('1.26.0');
  expect(tools).toEqual([
    'example.org/one/cmd/single',
    'example.org/two/v2/cmd/first',
    'example.org/two/v2/cmd/second',
  ]);
  expect([...versions]).toEqual([
    ['example.org/one', 'v1.2.3'],
    ['example.org/two', 'v0.9.0'],
    ['example.org/two/v2', 'v2.4.0'],
    ['example.org/three', 'v3.0.0'],
  ]);
});

test.each([
  ['example.org/two/v2/cmd/first', 'example.org/two/v2', 'v2.4.0'],
  ['example.org/two/cmd', 'example.org/two', 'v0.9.0'],
  ['example.org/one', 'example.org/one', 'v1.2.3'],
])('the package %s is of the module %s %s', (packagePath, module, version) => {
  expect(moduleOf(packagePath, parseGoMod(goMod).versions)).toEqual({ module, version });
});

test('a package of no module is an error that names it', () => {
  expect(() => moduleOf('example.org/twofold/x', parseGoMod(goMod).versions)).toThrow(
    'example.org/twofold/x',
  );
});

test.each([
  ['go1.19.8', '1.25.0', -1],
  ['go1.26.8', '1.26.0', 1],
  ['go1.26', '1.26.0', 0],
  ['1.9.1', '1.10.0', -1],
])('Go %s against %s', (a, b, sign) => {
  expect(Math.sign(compareGoVersions(a, b))).toBe(sign);
});
