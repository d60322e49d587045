import { parseArgs } from 'node:util';
import { plantedFaults, type PlantedFault } from '../src/dataplane/protocol/planted-faults.js';
import { profiles, type Profile } from './plan.js';
import { simulate, type RunResult } from './simulation.js';

/**
 * `npm run sim -- --seeds N [--from S] [--faults NAME]`: N runs, from seed S on.
 * `npm run sim -- --seed S --trace`: one run, told line by line.
 * `npm run sim -- --planted [--seeds N]`: every planted bug is found within N seeds.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    faults: { type: 'string', multiple: true, default: [] },
    /** Only runs of one kind: replacements, moves or settled. */
    profile: { type: 'string' },
    planted: { type: 'boolean', default: false },
    /** Stops after so many failures. */
    'max-failures': { type: 'string', default: '10' },
  },
});

const profile = asProfile(values.profile);
const faults = new Set(values.faults.map(asFault));
process.exitCode = run();

function run(): number {
  if (values.seed !== undefined) return runOne(Number(values.seed));
  if (values.planted) return findPlanted(Number(values.seeds ?? '10000'));
  const from = values.from === undefined ? Date.now() % 1_000_000_000 : Number(values.from);
  return runMany(from, Number(values.seeds ?? '1000'));
}

function runOne(seed: number): number {
  const print = values.trace ? (line: string) => console.log(line) : undefined;
  const result = simulate(seed, { faults, profile, ...(print === undefined ? {} : { print }) });
  console.log(describe(result));
  return result.rule === '' ? 0 : 1;
}

function runMany(from: number, count: number): number {
  const begun = process.hrtime.bigint();
  const totals = { failures: 0, acknowledged: 0, reads: 0, losses: 0, snapshots: 0, epochs: 0 };
  let slowestHealMs = 0;
  let done = 0;
  for (let seed = from; seed < from + count; seed++) {
    const result = simulate(seed, { faults, profile });
    done++;
    totals.acknowledged += result.acknowledged;
    totals.reads += result.readsChecked;
    totals.losses += result.totalLosses;
    totals.snapshots += result.snapshots;
    totals.epochs += result.epochs;
    slowestHealMs = Math.max(slowestHealMs, result.healMs);
    if (result.rule === '') continue;
    totals.failures++;
    console.log(describe(result));
    if (totals.failures >= Number(values['max-failures'])) break;
  }
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9;
  console.log(
    `${done} seeds from ${from}: ${totals.failures} failed; ${(done / seconds).toFixed(0)} seeds/s; ` +
      `${totals.acknowledged} requests acknowledged, ${totals.reads} reads checked, ` +
      `${totals.epochs} attaches, ${totals.snapshots} snapshots, ${totals.losses} total losses of caches, ` +
      `slowest heal ${slowestHealMs.toFixed(0)} ms`,
  );
  return totals.failures === 0 ? 0 : 1;
}

function findPlanted(limit: number): number {
  let missed = 0;
  for (const fault of plantedFaults) {
    let found: RunResult | undefined;
    for (let seed = 1; seed <= limit && found === undefined; seed++) {
      const result = simulate(seed, { faults: new Set([fault]), profile });
      if (result.rule !== '') found = result;
    }
    if (found === undefined) missed++;
    console.log(
      found === undefined
        ? `${fault}: NOT FOUND within ${limit} seeds`
        : `${fault}: found by seed ${found.seed}: ${found.rule}`,
    );
  }
  return missed === 0 ? 0 : 1;
}

function describe(result: RunResult): string {
  return result.rule === ''
    ? `seed ${result.seed}: ok (${result.events} events, ${result.acknowledged} acknowledged)`
    : `seed ${result.seed}: ${result.detail}`;
}

function asProfile(name: string | undefined): Profile {
  const profile = profiles.find((candidate) => candidate === (name ?? 'any'));
  if (profile === undefined) throw new Error(`--profile takes one of ${profiles.join(', ')}`);
  return profile;
}

function asFault(name: string): PlantedFault {
  const fault = plantedFaults.find((candidate) => candidate === name);
  if (fault === undefined) throw new Error(`--faults takes one of ${plantedFaults.join(', ')}`);
  return fault;
}
