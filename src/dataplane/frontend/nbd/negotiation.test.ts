import { Negotiation } from './negotiation.js';
import type { NbdExport } from './nbd-export.js';

const volume: NbdExport = {
  volumeId: 'v1',
  sizeBytes: 2 ** 40,
  blockSizeBytes: 4096,
  readOnly: false,
  connect: () => ({ submit: () => undefined }),
  disconnect: () => undefined,
};
const exports = {
  find: (name: string): NbdExport | undefined => (name === 'v1' ? volume : undefined),
  names: (): string[] => ['v1'],
};

function option(number: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(16);
  header.write('IHAVEOPT', 0);
  header.writeUInt32BE(number, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

function named(name: string): Buffer {
  const data = Buffer.alloc(6 + name.length);
  data.writeUInt32BE(name.length, 0);
  data.write(name, 4);
  return data;
}

function begun(flags = 3): Negotiation {
  const negotiation = new Negotiation(exports);
  expect(negotiation.greeting().toString('hex')).toBe(
    '4e42444d41474943' + '49484156454f5054' + '0003',
  );
  const clientFlags = Buffer.alloc(4);
  clientFlags.writeUInt32BE(flags, 0);
  expect(negotiation.step(clientFlags)).toMatchObject({ used: 4, outcome: 'more' });
  return negotiation;
}

test('a message in pieces is used only once it is whole', () => {
  const negotiation = begun();
  const go = option(7, named('v1'));
  for (let length = 0; length < go.length; length++) {
    expect(negotiation.step(go.subarray(0, length))).toMatchObject({ used: 0, outcome: 'more' });
  }
  expect(negotiation.step(Buffer.concat([go, Buffer.from('next')]))).toMatchObject({
    used: go.length,
    outcome: 'serve',
  });
  expect(negotiation.chosen).toBe(volume);
});

test('the old way in, with and without its 124 zeroes', () => {
  expect(begun(3).step(option(1, Buffer.from('v1'))).reply).toHaveLength(10);
  expect(begun(1).step(option(1, Buffer.from('v1'))).reply).toHaveLength(134);
  expect(begun().step(option(1, Buffer.from('v2'))).outcome).toBe('close');
});

test('unknown options, unknown exports and wrong lengths are answered, not believed', () => {
  const negotiation = begun();
  const typeOf = (input: Buffer): number => negotiation.step(input).reply.readUInt32BE(12);
  expect(typeOf(option(99))).toBe(0x80000001);
  expect(typeOf(option(7, named('v2')))).toBe(0x80000006);
  expect(typeOf(option(7, Buffer.from([255, 255, 255, 255, 0, 0])))).toBe(0x80000003);
  expect(typeOf(option(8, Buffer.alloc(1)))).toBe(0x80000003);
  expect(negotiation.structuredReplies).toBe(false);
  expect(typeOf(option(8))).toBe(1);
  expect(negotiation.structuredReplies).toBe(true);
  expect(negotiation.step(option(2)).outcome).toBe('close');
});

test('what is no option, or too long to be one, ends the conversation', () => {
  expect(begun().step(Buffer.alloc(16)).outcome).toBe('close');
  const long = option(7);
  long.writeUInt32BE(0xffffffff, 12);
  expect(begun().step(long).outcome).toBe('close');
  const strange = new Negotiation(exports);
  expect(strange.step(Buffer.from([0, 0, 0, 4])).outcome).toBe('close');
});
