import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { parse as parseYaml } from 'yaml';
import type { StoragePolicyStatus__Output } from '../../gen/px/v1/StoragePolicyStatus.js';
import { PxError } from '../../kernel/errors.js';
import { gatherLabels, type Actions } from '../action.js';
import { show, type CommandContext } from '../context.js';
import { usageError } from '../errors.js';
import { policyText, policyTable } from '../output/policy-text.js';
import { scheduleOf, withScheduleFlags, type ScheduleFlags } from '../policy-flags.js';
import { parseSizeBytes } from '../sizes.js';
import { onOrOff } from './volume-update.js';

interface PolicyFlags extends ScheduleFlags {
  readonly file?: string;
  readonly default?: boolean;
  readonly enforcement?: string;
  readonly allow_update?: boolean;
  readonly repl?: string;
  readonly size?: string;
  readonly io_priority?: string;
  readonly io_profile?: string;
  readonly sticky?: string;
  readonly label?: Record<string, string>;
}

/** A policy as JSON; the data plane says what is wrong with it. */
type PolicyJson = Record<string, unknown> & {
  volume?: Record<string, unknown>;
  snapshotSchedule?: Record<string, unknown>;
};

export function addStoragePolicy(program: Command, actions: Actions): void {
  const policy = program
    .command('storage-policy')
    .alias('stp')
    .description('what the administrator demands of volumes');
  addCreate(policy, actions);
  addUpdate(policy, actions);
  addLooks(policy, actions);
  addDelete(policy, actions);
  addDefault(policy, actions);
}

function withPolicyFlags(command: Command): Command {
  return withScheduleFlags(command)
    .option('-f, --file <path>', 'the whole policy, as JSON or YAML; flags count over it')
    .option('--default', 'for every volume that names no policy')
    .option('--enforcement <how>', 'coerce (change a request) or reject (refuse it)')
    .option('--allow_update', 'bring changes of the policy to the volumes that live')
    .option('-r, --repl <rule>', 'replicas: 2, min:2 or max:2')
    .option('-s, --size <rule>', 'size in GiB or with a unit: 10G, min:10G or max:10G')
    .option('--io_priority <class>', 'high, medium or low')
    .option('--io_profile <profile>', 'the I/O profile')
    .option('--sticky <on|off>', 'whether volumes cannot be deleted')
    .option('-l, --label <name=value,...>', 'labels that volumes get', gatherLabels);
}

function addCreate(policy: Command, actions: Actions): void {
  const create = withPolicyFlags(
    policy
      .command('create')
      .alias('c')
      .description('a policy that is not there yet')
      .argument('<name>', 'name of the policy'),
  );
  actions.on<PolicyFlags>(create, async (context, [name = ''], flags) => {
    if ((await find(context, name)) !== undefined) {
      throw new PxError(
        'already_exists',
        `there is a storage policy "${name}"; see "pxctl storage-policy update"`,
      );
    }
    await put(context, name, withFlags(readPolicy(flags), flags), 'created');
  });
}

function addUpdate(policy: Command, actions: Actions): void {
  const update = withPolicyFlags(
    policy
      .command('update')
      .alias('u')
      .description('change a policy; what is not named stays, unless --file gives all of it')
      .argument('<name>', 'name of the policy'),
  );
  actions.on<PolicyFlags>(update, async (context, [name = ''], flags) => {
    const before = await required(context, name);
    const base = flags.file === undefined ? parsed(before) : readPolicy(flags);
    await put(context, name, withFlags(base, flags), 'updated');
  });
}

function addLooks(policy: Command, actions: Actions): void {
  const list = policy.command('list').alias('l').description('every policy');
  actions.on(list, async (context) => {
    const { policies } = await context.px.ListStoragePolicies({});
    show(
      context,
      () => policies.map(policyJson),
      () => policyTable(policies),
    );
  });
  const inspect = policy
    .command('inspect')
    .alias('i')
    .description('the rules, who is governed, and who breaks them')
    .argument('<name>', 'name of the policy');
  actions.on(inspect, async (context, [name = '']) => {
    const found = await required(context, name);
    show(
      context,
      () => [policyJson(found)],
      () => policyText(found),
    );
  });
}

function addDelete(policy: Command, actions: Actions): void {
  const remove = policy
    .command('delete')
    .alias('d')
    .description('its volumes stay as they are, and no rule holds for them any more')
    .argument('<name>', 'name of the policy')
    .option('--force', 'also one that the operator keeps');
  actions.on<{ force?: boolean }>(remove, async (context, [name = ''], flags) => {
    await required(context, name);
    await context.px.DeleteStoragePolicy({ name, force: flags.force === true });
    show(
      context,
      () => [],
      () => `Storage policy ${name} successfully deleted.`,
    );
  });
}

function addDefault(policy: Command, actions: Actions): void {
  const setDefault = policy
    .command('set-default')
    .description('make it the one for volumes that name none')
    .argument('<name>', 'name of the policy');
  actions.on(setDefault, async (context, [name = '']) => {
    const found = await required(context, name);
    const { policies } = await context.px.ListStoragePolicies({});
    const before = policies.find((each) => each.is_default && each.name !== name);
    if (before !== undefined) await putQuietly(context, before.name, notDefault(before));
    await put(context, name, { ...parsed(found), default: true }, 'made the default');
  });
  const unset = policy.command('unset-default').description('no policy for volumes that name none');
  actions.on(unset, async (context) => {
    const { policies } = await context.px.ListStoragePolicies({});
    const before = policies.find((each) => each.is_default);
    if (before !== undefined) await putQuietly(context, before.name, notDefault(before));
    show(
      context,
      () => [],
      () => 'No storage policy is the default.',
    );
  });
}

function notDefault(policy: StoragePolicyStatus__Output): PolicyJson {
  return { ...parsed(policy), default: false };
}

async function put(
  context: CommandContext,
  name: string,
  policy: PolicyJson,
  done: string,
): Promise<void> {
  const status = await putQuietly(context, name, policy);
  show(
    context,
    () => [policyJson(status)],
    () => `Storage policy ${name} successfully ${done}.`,
  );
}

function putQuietly(
  context: CommandContext,
  name: string,
  policy: PolicyJson,
): Promise<StoragePolicyStatus__Output> {
  return context.px.PutStoragePolicy({ name, policy_json: JSON.stringify(policy) });
}

async function find(
  context: CommandContext,
  name: string,
): Promise<StoragePolicyStatus__Output | undefined> {
  const { policies } = await context.px.ListStoragePolicies({});
  return policies.find((policy) => policy.name === name);
}

async function required(
  context: CommandContext,
  name: string,
): Promise<StoragePolicyStatus__Output> {
  const found = await find(context, name);
  if (found !== undefined) return found;
  throw new PxError('not_found', `there is no storage policy "${name}"`);
}

function parsed(policy: StoragePolicyStatus__Output): PolicyJson {
  return JSON.parse(policy.policy_json) as PolicyJson;
}

function policyJson(policy: StoragePolicyStatus__Output): unknown {
  const { policy_json, ...rest } = policy;
  return { ...rest, policy: JSON.parse(policy_json) as unknown };
}

function readPolicy({ file }: PolicyFlags): PolicyJson {
  if (file === undefined) return {};
  let value: unknown;
  try {
    // JSON is YAML.
    value = parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    throw usageError(`--file "${file}" can't be read: ${String(error)}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as PolicyJson;
  }
  throw usageError(`--file "${file}" holds no policy`);
}

function withFlags(base: PolicyJson, flags: PolicyFlags): PolicyJson {
  const volume: Record<string, unknown> = { ...base.volume };
  const { repl, size, sticky, label } = flags;
  if (repl !== undefined) volume['replication'] = numberRule('--repl', repl, Number);
  if (size !== undefined) {
    volume['sizeBytes'] = numberRule('--size', size, (text) => parseSizeBytes('--size', text));
  }
  if (flags.io_priority !== undefined) volume['ioPriority'] = flags.io_priority.toLowerCase();
  if (flags.io_profile !== undefined) volume['ioProfile'] = flags.io_profile.toLowerCase();
  if (sticky !== undefined) volume['sticky'] = onOrOff('--sticky', sticky);
  if (label !== undefined) volume['labels'] = { ...(volume['labels'] as object), ...label };
  const schedule = scheduleOf(flags);
  return {
    ...base,
    ...(flags.default === true ? { default: true } : {}),
    ...(flags.allow_update === true ? { allowUpdate: true } : {}),
    ...(flags.enforcement === undefined ? {} : { enforcement: enforcement(flags.enforcement) }),
    volume,
    ...(schedule === undefined
      ? {}
      : { snapshotSchedule: { ...base.snapshotSchedule, ...schedule } }),
  };
}

function enforcement(text: string): string {
  const word = text.toLowerCase();
  if (word === 'coerce') return 'Coerce';
  if (word === 'reject') return 'Reject';
  throw usageError(`--enforcement "${text}": allowed are coerce, reject`);
}

const operators: Readonly<Record<string, string>> = { min: 'Minimum', max: 'Maximum', eq: 'Equal' };

function numberRule(flag: string, text: string, read: (text: string) => number): unknown {
  const match = /^(?:(min|max|eq):)?(.+)$/.exec(text.toLowerCase());
  const value = read(match?.[2] ?? '');
  if (Number.isNaN(value)) throw usageError(`${flag} "${text}": allowed are N, min:N and max:N`);
  return { value, operator: operators[match?.[1] ?? 'eq'] };
}
