import type { Command } from 'commander';
import type { CheckVolumeResponse__Output } from '../../gen/px/v1/CheckVolumeResponse.js';
import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import type { Actions } from '../action.js';
import { show } from '../context.js';
import { exitCodes } from '../exit-codes.js';
import { formatTable } from '../output/table.js';
import { replicaLabel } from '../output/volume-text.js';
import { bytesOf, formatBytes } from '../sizes.js';

/** A digest tells replicas apart; nobody reads all of it. */
const digestLength = 12;

export function addVolumeCheck(volume: Command, actions: Actions): void {
  const check = volume
    .command('check')
    .alias('ck')
    .description('compare the contents of the replicas by hash')
    .argument('<volume>', 'id or name');
  actions.on(check, async (context, [wanted = '']) => {
    const found = await context.px.GetVolume({ id_or_name: wanted });
    const result = await context.px.CheckVolume(
      { id_or_name: found.id },
      { timeoutMs: context.longTimeoutMs },
    );
    const left = notCompared(found, result);
    for (const line of left) context.note(line);
    show(
      context,
      () => [checkJson(found, result)],
      () => checkText(found, result),
    );
    if (!result.equal) return exitCodes.differs;
    return left.length === 0 ? exitCodes.ok : exitCodes.conflict;
  });
}

/** What an answer of "equal" does not cover. */
function notCompared(volume: Volume__Output, result: CheckVolumeResponse__Output): string[] {
  return volume.replicas
    .filter((replica) => !result.replicas_compared.includes(replica.id))
    .map((replica) => {
      const why = replica.state === 'in_sync' ? 'did not take part' : `is ${replica.state}`;
      return `not compared: the replica on ${replica.node_name || replica.node_id} ${why}`;
    });
}

function checkJson(volume: Volume__Output, result: CheckVolumeResponse__Output): unknown {
  return {
    id: volume.id,
    name: volume.name,
    equal: result.equal,
    bytes_compared: result.bytes_compared,
    replicas_compared: result.replicas_compared.map((id) => ({
      id,
      node: replicaLabel(volume, id),
    })),
    differences: result.differences.map((difference) => ({
      offset_bytes: difference.offset_bytes,
      length_bytes: difference.length_bytes,
      digests: difference.digests,
    })),
  };
}

function checkText(volume: Volume__Output, result: CheckVolumeResponse__Output): string {
  const nodes = result.replicas_compared.map((id) => replicaLabel(volume, id));
  const compared = `${formatBytes(result.bytes_compared)} compared on ${nodes.join(', ')}`;
  if (nodes.length < 2) return `Volume ${volume.name}: one replica has nothing to be compared with`;
  if (result.equal) return `Volume ${volume.name}: the replicas are equal (${compared})`;
  const { differences } = result;
  const bytes = differences.reduce((sum, { length_bytes }) => sum + bytesOf(length_bytes), 0);
  const table = formatTable(
    ['OFFSET', 'LENGTH', ...nodes],
    differences.map((difference) => [
      difference.offset_bytes,
      difference.length_bytes,
      ...difference.digests.map((digest) => digest.slice(0, digestLength)),
    ]),
  );
  return [
    `Volume ${volume.name}: the replicas DIFFER at ${differences.length} ${differences.length === 1 ? 'place' : 'places'}, ` +
      `${formatBytes(bytes)} (${compared})`,
    table,
  ].join('\n');
}
