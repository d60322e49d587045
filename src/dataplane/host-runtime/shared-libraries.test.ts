import { loaderOf, parseLibraries } from './shared-libraries.js';

const loader = '/lib64/ld-linux-x86-64.so.2';

test('reads what the loader lists: names and paths, without the loader and the kernel’s own', () => {
  const text = [
    '\tlinux-vdso.so.1 (0x00007ffd)',
    '\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f1)',
    '\tlibodd.so => /opt/a b/libodd.so (0x00007f2)',
    '\t/lib64/ld-linux-x86-64.so.2 (0x00007f3)',
    '\tld-linux-x86-64.so.2 => /lib64/ld-linux-x86-64.so.2 (0x00007f3)',
    '',
  ].join('\n');
  expect([...parseLibraries(text, loader, 'node')]).toEqual([
    ['libm.so.6', '/lib/x86_64-linux-gnu/libm.so.6'],
    ['libodd.so', '/opt/a b/libodd.so'],
  ]);
});

test('a library that is away is named', () => {
  expect(() => parseLibraries('\tlibx.so.1 => not found\n', loader, '/bin/prog')).toThrow(
    '/bin/prog needs libx.so.1',
  );
});

test('a program’s own loader is read from the program; a text has none', async () => {
  expect(await loaderOf(process.execPath)).toMatch(/^\/lib.*\/ld-linux/);
  await expect(loaderOf(__filename)).rejects.toMatchObject({ code: 'failed_precondition' });
});
