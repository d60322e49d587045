import type { Command } from 'commander';
import { refuseCommands, type Actions } from '../action.js';
import { show } from '../context.js';
import { usageError } from '../errors.js';
import { driveTable, poolTable } from '../output/node-text.js';

interface MaintenanceFlags {
  readonly enter?: boolean;
  readonly exit?: boolean;
}

function addMaintenance(service: Command, actions: Actions): void {
  const maintenance = service
    .command('maintenance')
    .description('place nothing new on this node, nor replace what is there while it is away')
    .option('--enter', 'from now on')
    .option('--exit', 'no longer');
  actions.on<MaintenanceFlags>(maintenance, async (context, _args, { enter, exit }) => {
    if (enter === exit) throw usageError('give --enter or --exit');
    const { id } = await context.px.GetStatus({});
    const status = await context.px.SetMaintenance({ node_id: id, enter: enter === true });
    show(
      context,
      () => status,
      () => `Node ${status.name} is ${status.maintenance ? 'in' : 'out of'} maintenance.`,
    );
  });
}

export function addService(program: Command, actions: Actions): void {
  const service = program.command('service').alias('sv').description('this node itself');

  const pool = service.command('pool').description('the pools of this node');
  const showPools = pool.command('show').description('space and class of every pool');
  actions.on(showPools, async (context) => {
    const { pools } = await context.px.GetStatus({});
    show(
      context,
      () => pools,
      () => poolTable(pools),
    );
  });
  refuseCommands(pool, { 'changes of pools': ['update', 'expand', 'rebalance'] });

  const drive = service.command('drive').description('the drives of this node');
  const showDrives = drive.command('show').description('every drive, also those refused and why');
  actions.on(showDrives, async (context) => {
    const { drives } = await context.px.GetStatus({});
    show(
      context,
      () => drives,
      () => driveTable(drives),
    );
  });
  refuseCommands(drive, { 'changes of drives': ['add', 'replace', 'rebalance'] });

  addMaintenance(service, actions);

  refuseCommands(service, {
    'diagnostics bundle': ['diags'],
    'wiping of nodes': ['node-wipe'],
    'alert history (see "pxctl status")': ['alerts'],
  });
}
