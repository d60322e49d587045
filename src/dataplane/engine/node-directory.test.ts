import { parseAddress } from './node-directory.js';
import { threadOfVolume } from './io-thread/messages.js';

describe('parseAddress', () => {
  it('takes numeric addresses of both families and nothing else', () => {
    expect(parseAddress('10.0.0.7:9002')).toEqual({ host: '10.0.0.7', port: 9002 });
    expect(parseAddress('[fd00::7]:9002')).toEqual({ host: 'fd00::7', port: 9002 });
    for (const text of ['', '10.0.0.7', 'a.example:1', '10.0.0.7:99999', 'fd00::7:9002']) {
      expect(parseAddress(text)).toBeUndefined();
    }
  });
});

describe('threadOfVolume', () => {
  it('spreads volumes over the threads, always the same way', () => {
    const counts = [0, 0, 0, 0];
    for (let index = 0; index < 1000; index++) {
      const thread = threadOfVolume(`volume-${index}`, 4);
      expect(thread).toBe(threadOfVolume(`volume-${index}`, 4));
      counts[thread]++;
    }
    for (const count of counts) expect(count).toBeGreaterThan(150);
  });
});
