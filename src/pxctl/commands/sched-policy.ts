import type { Command } from 'commander';
import { formatSchedule } from '../../kernel/snapshot-schedule.js';
import type { StoragePolicy } from '../../kernel/storage-policy.js';
import type { Actions } from '../action.js';
import { show, type CommandContext } from '../context.js';
import { scheduleTable } from '../output/policy-text.js';
import { listVolumes } from './volume-lists.js';

interface Schedule {
  readonly kind: string;
  readonly name: string;
  readonly schedule: string;
}

/** Schedules have no names of their own: they belong to storage policies and volumes. */
export function addSchedPolicy(program: Command, actions: Actions): void {
  const sched = program
    .command('sched-policy')
    .description('when snapshots are taken, by storage policies and by volumes themselves');
  const list = sched.command('list').alias('l').description('every schedule');
  actions.on(list, async (context) => {
    const schedules = [...(await ofPolicies(context)), ...(await ofVolumes(context))];
    show(
      context,
      () => schedules,
      () => scheduleTable(schedules),
    );
  });
}

async function ofPolicies(context: CommandContext): Promise<Schedule[]> {
  const { policies } = await context.px.ListStoragePolicies({});
  return policies.flatMap(({ name, policy_json }) => {
    const { snapshotSchedule } = JSON.parse(policy_json) as StoragePolicy;
    if (snapshotSchedule === undefined) return [];
    return [{ kind: 'storage-policy', name, schedule: formatSchedule(snapshotSchedule) }];
  });
}

async function ofVolumes(context: CommandContext): Promise<Schedule[]> {
  const volumes = await listVolumes(context, { no_snapshots: true });
  return volumes.flatMap(({ name, spec }) => {
    const schedule = spec?.snapshot_schedule ?? '';
    return schedule === '' ? [] : [{ kind: 'volume', name, schedule }];
  });
}
