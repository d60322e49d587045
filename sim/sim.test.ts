import { plantedFaults } from '../src/dataplane/protocol/planted-faults.js';
import type { Profile } from './plan.js';
import { simulate } from './simulation.js';

const fixedSeeds = 1500;
const freshSeeds = 1500;
/** A planted bug shows within so many seeds; most need fewer than a hundred. */
const plantedSeeds = 10_000;

function failuresFrom(first: number, count: number, profile: Profile = 'any'): string[] {
  const failures: string[] = [];
  for (let seed = first; seed < first + count && failures.length < 3; seed++) {
    const { rule, detail } = simulate(seed, { profile });
    if (rule !== '') failures.push(`seed ${seed}: ${detail}`);
  }
  return failures;
}

describe('the protocol under simulated trouble', () => {
  test(`keeps every rule under the seeds 1 to ${fixedSeeds}`, () => {
    expect(failuresFrom(1, fixedSeeds)).toEqual([]);
  }, 300_000);

  test('keeps every rule under seeds never tried before', () => {
    const first = Date.now() % 1_000_000_000;
    console.log(`fresh seeds ${first} to ${first + freshSeeds - 1}`);
    expect(failuresFrom(first, freshSeeds)).toEqual([]);
  }, 300_000);

  /**
   * 20016388: a repair of whole blocks put old data over a mutation of a neighbour.
   * 314571624: a flush was never answered when all that it was sent to had left.
   * 314577931: the last copy to a filling replica was on its way when its source died; nothing is lost.
   */
  test.each([20016388, 314571624, 314577931])(
    'keeps every rule under seed %s, which once broke one',
    (seed) => {
      expect(failuresFrom(seed, 1, 'settled')).toEqual([]);
    },
  );

  test('a seed reproduces its run exactly', () => {
    for (const seed of [7, 89, 1857]) {
      const traces = [1, 2].map(() => {
        const lines: string[] = [];
        simulate(seed, { print: (line) => lines.push(line) });
        return lines;
      });
      expect(traces[0]?.length).toBeGreaterThan(50);
      expect(traces[1]).toEqual(traces[0]);
    }
  });

  test.each(plantedFaults)(
    'finds the planted bug %s',
    (fault) => {
      let found = '';
      for (let seed = 1; seed <= plantedSeeds && found === ''; seed++) {
        found = simulate(seed, { faults: new Set([fault]) }).rule;
      }
      expect(found).not.toBe('');
    },
    300_000,
  );
});
