import { checkHolderProtocol } from './ensure-holder.js';
import { holderProtocol } from './holder-api.js';

const status = { pid: 7, startedAt: 'then', enginePid: 8, engineStarts: 1 };
const { version, oldestHolder } = holderProtocol;

test.each([
  ['one of before there were numbers', {}],
  ['one of this version', { protocol: version, oldestClient: 1 }],
  ['a newer one that still understands us', { protocol: version + 5, oldestClient: version }],
])('%s is worked with', (_, numbers) => {
  expect(() => checkHolderProtocol({ ...status, ...numbers })).not.toThrow();
});

test.each([
  ['too old', { protocol: oldestHolder - 1 }, 'no longer'],
  ['too new', { protocol: version + 5, oldestClient: version + 1 }, 'does not yet'],
])('one that is %s is refused, with what to do', (_, numbers, words) => {
  const check = () => checkHolderProtocol({ ...status, ...numbers });
  expect(check).toThrow(words);
  expect(check).toThrow('drain the node and reboot it');
});
