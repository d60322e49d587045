import { parseBacking } from './disks.js';

it('reads what losetup of util-linux 2.38 prints, with its blanks', () => {
  const json = `{
   "loopdevices": [
      {
         "back-maj:min": "       0:236",
         "back-ino": 1
      }
   ]
}
`;
  expect(parseBacking(json)).toEqual({ fileSystem: '0:236', inode: 1 });
});

it.each([
  ['of a device that is gone', ''],
  ['of a file that cannot be asked', '{"loopdevices":[{"back-maj:min":null,"back-ino":null}]}'],
])('knows nothing %s', (_, json) => {
  expect(parseBacking(json)).toEqual({ fileSystem: '', inode: undefined });
});
