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
}

const callTimeoutMs = 5_000;

/** All members found a store together: only right before there ever was one. */
export function foundingState(members: readonly Peer[]): StartState {
  return { state: 'new', initialCluster: listOf(members) };
}

/**
 * Makes us a member of a store that exists: takes out the members that are not
 * to be any more, puts us in. Each step is found done when it is done again.
 * Without data of our own it throws `kvdb_unavailable` while no other member
 * answers: founding a second store beside the first would lose the cluster.
 */
export async function joinExisting(options: MembershipOptions): Promise<StartState> {
  const { self, logger, directory } = options;
  const hasData = existsSync(join(directory, 'member'));
  const others = options.members.filter(({ peerUrl }) => peerUrl !== self.peerUrl);
  const asked = await askMembers(others).catch((error: unknown) => {
    // All may be starting at once, and then nobody is a majority yet. Data that
    // is no member's any more can do no harm: etcd ends by itself on being told.
    if (hasData) return undefined;
    throw error;
  });
  if (asked === undefined) return foundingState(options.members);
  try {
    const ours = asked.members.find(({ peerUrls }) => peerUrls.includes(self.peerUrl));
    // Started before, and nobody took us out since: etcd goes on with its data.
    if (ours !== undefined && ours.name !== '' && hasData) return foundingState(options.members);
    if (hasData) setAside(directory, logger);
    // One that was started has a name. Its data is gone, so etcd would not take it back as it is.
    if (ours !== undefined && ours.name !== '') await remove(asked.client, ours, logger);
    for (const stale of asked.members.filter((member) => isStale(member, options.members))) {
      await remove(asked.client, stale, logger);
    }
    const pending = ours !== undefined && ours.name === '';
    if (!pending) {
      await add(asked.client, self);
      logger.warn('joined the members of the kvdb', { peerUrl: self.peerUrl });
    }
    const { members } = await readMembers(asked.client);
    return { state: 'existing', initialCluster: initialCluster(members, self) };
  } finally {
    asked.client.close();
  }
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
    const { members } = await readMembers(client);
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
      return { client, members: (await readMembers(client)).members };
    } catch (error) {
      reason = error;
      client.close();
    }
  }
  throw unavailable(reason);
}

/** A member list alone is answered from memory; a read shows that there is a majority. */
async function readMembers(client: Etcd3): Promise<{ members: readonly Member[] }> {
  await client.kv.range({ key: Buffer.from('pwx/probe'), count_only: true }, bounded());
  const { members } = await client.cluster.memberList({});
  return {
    members: members.map(({ ID, name, peerURLs }) => ({ id: ID, name, peerUrls: peerURLs })),
  };
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
