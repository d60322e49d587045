import { volumeIdOfDevice } from './volume-mounts.js';

test('a device that is no loop device is of no volume', async () => {
  expect(await volumeIdOfDevice('1:3')).toBe('');
});
