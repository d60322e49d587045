import { VolumeLocks } from './volume-locks.js';

describe('VolumeLocks', () => {
  it('refuses a second call on a volume with ABORTED, and only while the first works', async () => {
    const locks = new VolumeLocks();
    let finish = (): void => undefined;
    const first = locks.run('a', 'First', () => new Promise<void>((done) => (finish = done)));
    await expect(locks.run('a', 'Second', async () => undefined)).rejects.toMatchObject({
      code: 'aborted',
      message: expect.stringContaining('First') as string,
    });
    await expect(locks.run('b', 'Other', async () => 7)).resolves.toBe(7);
    finish();
    await first;
    await expect(locks.run('a', 'Third', async () => 8)).resolves.toBe(8);
  });

  it('lets go when the work fails', async () => {
    const locks = new VolumeLocks();
    const broken = (): Promise<never> => Promise.reject(new Error('broken'));
    await expect(locks.run('a', 'First', broken)).rejects.toThrow('broken');
    await expect(locks.run('a', 'Second', async () => 1)).resolves.toBe(1);
  });
});
