import type { Command } from 'commander';
import { refuseCommands, type Actions } from '../action.js';
import { show } from '../context.js';
import { driveTable, poolTable } from '../output/node-text.js';

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

  refuseCommands(service, {
    'maintenance mode': ['maintenance'],
    'diagnostics bundle': ['diags'],
    'wiping of nodes': ['node-wipe'],
    'alert history (see "pxctl status")': ['alerts'],
  });
}
