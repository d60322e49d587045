import type { Volume__Output } from '../../gen/px/v1/Volume.js';
import { show, type CommandContext } from '../context.js';
import { volumeJson } from '../output/volume-json.js';
import { nodeNames, volumeTable, type NodeNames } from '../output/volume-text.js';

/** Names are for reading only: their absence must not hide the volumes. */
export async function namesOfNodes(context: CommandContext): Promise<NodeNames> {
  try {
    return nodeNames((await context.px.ListNodes({})).nodes);
  } catch {
    return new Map();
  }
}

/** In pages, so that thousands of volumes are no single message. */
export async function listVolumes(
  context: CommandContext,
  selection: { only_snapshots?: boolean; no_snapshots?: boolean; parent_id?: string },
): Promise<Volume__Output[]> {
  const volumes: Volume__Output[] = [];
  let token = '';
  do {
    const page = await context.px.ListVolumes({
      ...selection,
      max_entries: 1000,
      starting_token: token,
    });
    volumes.push(...page.volumes);
    token = page.next_token;
  } while (token !== '');
  return volumes.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export async function showVolumes(
  context: CommandContext,
  volumes: readonly Volume__Output[],
): Promise<void> {
  const names = context.json ? new Map<string, string>() : await namesOfNodes(context);
  show(
    context,
    () => volumes.map(volumeJson),
    () => volumeTable(volumes, names),
  );
}
