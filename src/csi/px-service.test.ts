import { PxError, type ErrorCode } from '../kernel/errors.js';
import type { NodeApi } from '../platform/grpc-client.js';
import { throughService } from './px-service.js';

/** A service whose n-th connection answers with n, or fails as told. */
function service(failures: readonly (ErrorCode | undefined)[]) {
  const closed: number[] = [];
  let made = 0;
  const connect = (): NodeApi => {
    const number = made++;
    const api = {
      address: 'px-api:9002',
      close: () => closed.push(number),
      GetStatus: () => {
        const code = failures[number];
        return code === undefined
          ? Promise.resolve({ name: `node-${number}` })
          : Promise.reject(new PxError(code, 'no'));
      },
    };
    return api as unknown as NodeApi;
  };
  return { connect, closed, made: () => made };
}

describe('throughService', () => {
  it.each(['unavailable', 'kvdb_unavailable', 'deadline_exceeded', 'fenced'] as const)(
    'connects anew after %s, for the next call',
    async (code) => {
      const { connect, closed, made } = service([code]);
      const px = throughService(connect);
      await expect(px.GetStatus({})).rejects.toMatchObject({ code });
      expect(closed).toEqual([0]);
      await expect(px.GetStatus({})).resolves.toMatchObject({ name: 'node-1' });
      expect(made()).toBe(2);
    },
  );

  it('keeps the connection when the refusal is about the call', async () => {
    const { connect, made } = service(['not_found']);
    const px = throughService(connect);
    await expect(px.GetStatus({})).rejects.toMatchObject({ code: 'not_found' });
    expect(made()).toBe(1);
  });

  it('replaces a connection once when several calls on it fail', async () => {
    const { connect, closed, made } = service(['unavailable']);
    const px = throughService(connect);
    await Promise.allSettled([px.GetStatus({}), px.GetStatus({}), px.GetStatus({})]);
    expect(made()).toBe(2);
    expect(closed).toEqual([0]);
    px.close();
    expect(closed).toEqual([0, 1]);
  });
});
