import fc from 'fast-check';
import { OrderedMap } from './ordered-map.js';

const key = fc.oneof(
  fc.uuid(),
  fc.string({ maxLength: 3 }),
  fc.stringMatching(/^[09af:`g/][09af:`g/]?$/),
);
const changes = fc.array(fc.tuple(key, fc.option(fc.nat(), { nil: undefined })), { maxLength: 30 });
const sorted = <V>(map: ReadonlyMap<string, V>): [string, V][] =>
  [...map].sort(([x], [y]) => (x < y ? -1 : x > y ? 1 : 0));

test('it is a map in the order of its keys, and what came before stays as it was', () => {
  fc.assert(
    fc.property(fc.array(changes, { maxLength: 6 }), (rounds) => {
      const model = new Map<string, number>();
      let map = OrderedMap.of<number>([]);
      for (const round of rounds) {
        const before = map;
        const then = sorted(model);
        map = map.with(new Map(round));
        for (const [name, value] of new Map(round)) {
          if (value === undefined) model.delete(name);
          else model.set(name, value);
        }
        expect([...map]).toEqual(sorted(model));
        expect([...before]).toEqual(then);
        expect(map.size).toBe(model.size);
        for (const name of [...model.keys(), 'absent', '']) {
          expect(map.get(name)).toBe(model.get(name));
          expect(map.has(name)).toBe(model.has(name));
        }
      }
      expect([...map.keys()]).toEqual(sorted(model).map(([name]) => name));
      expect([...map.values()]).toEqual(sorted(model).map(([, value]) => value));
    }),
  );
});

test('one change among thousands copies next to nothing', () => {
  const ids = Array.from({ length: 5000 }, (_, index) =>
    (index * 858993).toString(16).padStart(8, '0').slice(-8).split('').reverse().join(''),
  );
  const map = OrderedMap.of(ids.map((id) => [id, id]));
  const changed = map.with(new Map([[ids[7] ?? '', 'new']]));
  const parts = (of: OrderedMap<string>): unknown[] =>
    (of as unknown as { parts: unknown[] }).parts;
  const copied = parts(changed).filter((part, index) => part !== parts(map)[index]);
  expect(copied).toHaveLength(1);
  expect((copied[0] as Map<string, string>).size).toBeLessThan(100);
});
