import { existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { PxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';

export interface MembershipOptions {
  /** etcd's own directory. */
  readonly directory: string;
  readonly self: Peer;
  /** Every member that there is to be, with ourselves. */
  readonly members: readonly Peer[];
  readonly logger: Logger;
}

export interface Peer {
  readonly name: string;
  readonly peerUrl: string;
  readonly clientUrl: string;
}

/** How etcd is to be started. */
export interface StartState {
  readonly state: 'new' | 'existing';
  /** `--initial-cluster`: etcd refuses to join with a list that is not exactly the members'. */
  readonly initialCluster: string;
}

interface Member {
  readonly id: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly hasRun: boolean;
}

const callTimeoutMs = 5_000;

/** All members found a store together: only right before there ever was one. */
export function foundingState(members: readonly Peer[]): StartState {
  return { state: 'new', initialCluster: listOf(members) };
}

/**
 * Makes us a member of the store, as far as anything is to be done: takes out
 * the members that are not to be any more, puts us in. Each step is found done
 * when it is done again. Without data of our own, and with `exists`, it throws
 * `kvdb_unavailable` while no other member answers: founding a second store
 * beside the first would lose the cluster.
 */
export async function joinMembers(
  options: MembershipOptions & { readonly exists: boolean },
): Promise<StartState> {
  const { self, members, directory, exists } = options;
  const hasData = existsSync(join(directory, 'member'));
  // Nothing was said of a store before this one: etcd itself refuses what does not fit.
  if (hasData && !exists) return foundingState(members);
  const others = members.filter(({ peerUrl }) => peerUrl !== self.peerUrl);
  const asked = await askMembers(others).catch((error: unknown) => {
    // All may be starting at once, and then nobody is a majority yet. Data that
    // is no member's any more can do no harm: etcd ends by itself on being told.
    if (hasData || !exists) return undefined;
    throw error;
  });
  if (asked === undefined) return foundingState(members);
  try {
    return await joinAnswering(options, asked, hasData);
  } finally {
    asked.client.close();
  }
}

async function joinAnswering(
  { self, members, directory, logger }: MembershipOptions,
  { client, members: present }: { readonly client: Etcd3; readonly members: readonly Member[] },
  hasData: boolean,
): Promise<StartState> {
  const ours = present.find(({ peerUrls }) => peerUrls.includes(self.peerUrl));
  // A founder has its name from the start, and no client's address before it ran.
  const isFounder = ours !== undefined && ours.name !== '' && !ours.hasRun;
  const isMember = ours?.hasRun === true && hasData;
  if (isFounder || isMember) return foundingState(members);
  if (hasData) setAside(directory, logger);
  // Its data is gone, so etcd would not take it back as it is.
  if (ours?.hasRun === true) await remove(client, ours, logger);
  for (const stale of present.filter((member) => isStale(member, members))) {
    await remove(client, stale, logger);
  }
  const isPending = ours !== undefined && !ours.hasRun;
  if (!isPending) {
    await add(client, self);
    logger.warn('joined the members of the kvdb', { peerUrl: self.peerUrl });
  }
  const now = await readMembers(client);
  return { state: 'existing', initialCluster: initialCluster(now, self) };
}

function initialCluster(members: readonly Member[], self: Peer): string {
  return members
    .flatMap(({ name, peerUrls }) => peerUrls.map((url) => [name, url] as const))
    .map(([name, url]) => `${url === self.peerUrl ? self.name : name}=${url}`)
    .join(',');
}

function isStale(member: Member, wanted: readonly Peer[]): boolean {
  return !wanted.some(({ peerUrl }) => member.peerUrls.includes(peerUrl));
}

async function add(client: Etcd3, self: Peer): Promise<void> {
  try {
    await client.cluster.memberAdd({ peerURLs: [self.peerUrl] }, bounded());
  } catch (error) {
    // etcd changes its members only when those there are have been in touch
    // for some seconds (its strict reconfiguration check).
    throw unavailable(error);
  }
}

async function remove(client: Etcd3, member: Member, logger: Logger): Promise<void> {
  try {
    await client.cluster.memberRemove({ ID: member.id }, bounded());
    logger.warn('took a member out of the kvdb', { member: member.name, peers: member.peerUrls });
  } catch (error) {
    // Another new member may have taken it out meanwhile.
    const members = await readMembers(client);
    if (members.some(({ id }) => id === member.id)) throw unavailable(error);
  }
}

/** Never deleted: it is the last copy that a person might need. */
function setAside(directory: string, logger: Logger): void {
  const aside = `${directory}.no-member-${new Date().toISOString().replace(/[:.]/g, '-')}`;
  renameSync(directory, aside);
  logger.warn('this node is no member of the kvdb any more: its old data is set aside', { aside });
}

async function askMembers(
  others: readonly Peer[],
): Promise<{ client: Etcd3; members: readonly Member[] }> {
  let reason: unknown;
  for (const { clientUrl } of others) {
    const client = new Etcd3({ hosts: clientUrl });
    try {
      return { client, members: await readMembers(client) };
    } catch (error) {
      reason = error;
      client.close();
    }
  }
  throw unavailable(reason);
}

/** A member list alone is answered from memory; a read shows that there is a majority. */
async function readMembers(client: Etcd3): Promise<readonly Member[]> {
  await client.kv.range({ key: Buffer.from('pwx/probe'), count_only: true }, bounded());
  const { members } = await client.cluster.memberList({});
  return members.map(({ ID, name, peerURLs, clientURLs }) => ({
    id: ID,
    name,
    peerUrls: peerURLs,
    hasRun: clientURLs.length > 0,
  }));
}

function listOf(members: readonly Peer[]): string {
  return members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',');
}

function bounded(): { deadline: number } {
  return { deadline: Date.now() + callTimeoutMs };
}

function unavailable(cause: unknown): PxError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new PxError(
    'kvdb_unavailable',
    `the other members of the kvdb do not answer, so this one can't join: ${reason}`,
    {},
    cause,
  );
}
